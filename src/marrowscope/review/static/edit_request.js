// An edit on its way: asked of the server under one key until it answers, so that it is kept once or not at all.

import { post } from "./api.js";

const PAUSES = [500, 1500, 3000]; // ms before the same edit is asked again

// What is sent, made when the person makes the edit: `known_n` is the last row of the log that the page showed then.
export function newEdit(edit, reading, known_n = null) {
  return { edit, reading, known_n, key: newKey() };
}

// The server's answer. An answer that does not come says nothing of whether the edit was kept: the same one is asked
// again, and the server knows it by its key. Raises ApiError, with status 0 when no answer came in the end.
export async function sendEdit(base, made) {
  for (const pause of PAUSES) {
    try {
      return await post(`${base}/edits`, made);
    } catch (error) {
      if (error.status !== 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return post(`${base}/edits`, made);
}

// A random UUID; browsers offer randomUUID by https and on this computer only.
function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
