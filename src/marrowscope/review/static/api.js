// Talking to the interface: JSON and typed columns, with the session's token against forged requests.

const BASE = "/api/v1";

export class ApiError extends Error {
  // `status` 0: the server did not answer. `kind`: a word for programs, such as "conflict".
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

function token() {
  return document.querySelector('meta[name="csrf"]')?.content ?? "";
}

// An answer to an edit that does not come in this time does not come; who asks for more says how long that takes.
const PATIENCE = 20000;

// The response to a request that was granted; throws an ApiError otherwise.
export async function answer(path, options = {}) {
  let response;
  try {
    response = await request(path, options);
  } catch {
    throw new ApiError(0, "offline", "");
  }
  if (response.ok) return response;
  let told = {};
  try {
    told = await response.json();
  } catch {
    /* an answer without words */
  }
  throw new ApiError(response.status, told.error ?? "error", told.message ?? response.statusText);
}

// The response as it is; what `early.js` has begun to fetch while the page was made is taken up, once.
function request(path, options = {}) {
  for (const begun of [BASE + path, BASE + path.split("?")[0]]) {
    const found = window.marrowscopeEarly?.get(begun);
    window.marrowscopeEarly?.delete(begun);
    if (found) return found;
  }
  return fetch(BASE + path, { credentials: "same-origin", ...options });
}

// An answer that breaks off is none.
async function json(path, options) {
  const response = await answer(path, options);
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, "offline", "");
  }
}

export async function get(path) {
  return json(path);
}

// For what a page asks by itself, again and again: it does not keep a session alive.
export async function poll(path, options = {}) {
  return json(path, { headers: { "X-Background": "1" }, ...options });
}

export async function post(path, body, patience = PATIENCE) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": token() };
  const signal = AbortSignal.timeout(patience);
  return json(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

export async function upload(path, form) {
  return json(path, { method: "POST", headers: { "X-CSRF-Token": token() }, body: form });
}

const ARRAYS = { uint8: Uint8Array, uint32: Uint32Array, float32: Float32Array };

// The cells of a slide: { n, counted, cells, type, model, state, flags, certainty, anomaly, sprite, x, y, w, h }.
export async function columns(path) {
  const bytes = await (await answer(path)).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const { columns: told, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const found = { ...header };
  for (const { name, type, offset } of told) found[name] = new ARRAYS[type](bytes, 4 + length + offset, header.cells);
  return found;
}

export const url = (path) => BASE + path;
