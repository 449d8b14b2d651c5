// Begins to fetch what a page will show while the page itself is still being made; `api.js` takes it up. A classic
// script, because no module may run before the import map of the page.

window.marrowscopeEarly = new Map(
  document.currentScript.dataset.paths
    .split(" ")
    .filter(Boolean)
    .map((path) => [path, fetch(path, { credentials: "same-origin" })]),
);
for (const begun of window.marrowscopeEarly.values()) begun.catch(() => {}); // whoever takes it up tells
