// One file to the server, with progress, which fetch does not tell.

import { ApiError, url } from "marrowscope-review/api.js";

export function sendFile(file, progress) {
  const request = new XMLHttpRequest();
  const answer = new Promise((resolve, reject) => {
    request.open("POST", url("/uploads"));
    request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
    request.setRequestHeader("X-CSRF-Token", document.querySelector('meta[name="csrf"]')?.content ?? "");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onerror = () => reject(new ApiError(0, "offline", ""));
    request.onabort = () => reject(new ApiError(0, "stopped", ""));
    request.onload = () => {
      let words = {};
      try {
        words = JSON.parse(request.responseText);
      } catch {
        /* an answer without words */
      }
      if (request.status === 201) resolve(words);
      else reject(new ApiError(request.status, words.error ?? "error", words.message ?? words.detail ?? request.statusText));
    };
    request.send(file);
  });
  return { answer, stop: () => request.abort() };
}
