// The status of the case in the head of the page, which the server wrote when the page was opened (frame.py).

export function showStatus(status) {
  const label = document.getElementById("case-status");
  if (label) label.textContent = label.dataset[status.replace(" ", "_")];
}
