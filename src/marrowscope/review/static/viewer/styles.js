// Styles that lie beside a module of the import map; done when they are there, or cannot be had.

export function styles(module) {
  return new Promise((resolve) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = import.meta.resolve(module);
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
}
