// Choosing and sorting the pictures. The report is complete without it.
(() => {
  const controls = document.querySelector(".controls");
  if (!controls) return;
  const galleries = [...document.querySelectorAll(".gallery")];
  const apply = () => {
    const type = controls.elements.type.value;
    const sign = controls.elements.order.value === "up" ? 1 : -1;
    const only = ["unsure", "anomalous"].filter((flag) => controls.elements[flag].checked);
    for (const gallery of galleries) {
      const list = gallery.querySelector("ul");
      const cells = [...list.children].sort((a, b) => sign * (a.dataset.certainty - b.dataset.certainty));
      for (const cell of cells) cell.hidden = !only.every((flag) => cell.classList.contains(flag));
      list.append(...cells);
      gallery.hidden = (type && gallery.dataset.type !== type) || cells.every((cell) => cell.hidden);
    }
  };
  controls.addEventListener("change", apply);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  apply();
})();
