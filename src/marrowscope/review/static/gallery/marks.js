// The marks of a cell, told apart by their form: a dashed edge (unsure), a triangle (anomalous), a tick (looked at), an
// unequal sign (two observers differ), three dots (a proposal that waits), a plus (added by a person; in a square: outside
// of the counted fields), a cross (deleted). The list of keys shows them too.

const TURN = 2 * Math.PI;

// `draw` paints around (x, y) with half the side `r`.
function disc(ctx, x, y, r, ground) {
  ctx.beginPath();
  ctx.arc(x, y, r, 0, TURN);
  ctx.fillStyle = ground;
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = "#fff";
  ctx.stroke();
}

function strokes(ctx, x, y, r, lines, width = 2) {
  ctx.beginPath();
  for (const line of lines) line.forEach(([u, v], at) => ctx[at ? "lineTo" : "moveTo"](x + u * r, y + v * r));
  ctx.lineWidth = width;
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.strokeStyle = "#fff";
  ctx.stroke();
}

export const MARKS = {
  looked(ctx, x, y, r) {
    disc(ctx, x, y, r, "#1b6b3a");
    strokes(ctx, x, y, r, [[[-0.45, 0.05], [-0.1, 0.4], [0.5, -0.35]]]);
  },
  anomalous(ctx, x, y, r) {
    ctx.beginPath();
    ctx.moveTo(x, y - 1.15 * r);
    ctx.lineTo(x + 1.15 * r, y + 0.9 * r);
    ctx.lineTo(x - 1.15 * r, y + 0.9 * r);
    ctx.closePath();
    ctx.fillStyle = "#8a4b00";
    ctx.fill();
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.strokeStyle = "#fff";
    ctx.stroke();
    strokes(ctx, x, y, r, [[[0, -0.35], [0, 0.2]], [[0, 0.58], [0, 0.6]]]);
  },
  differs(ctx, x, y, r) {
    disc(ctx, x, y, r, "#a3123a");
    strokes(ctx, x, y, r, [[[-0.5, -0.22], [0.5, -0.22]], [[-0.5, 0.22], [0.5, 0.22]], [[0.28, -0.58], [-0.28, 0.58]]], 1.5);
  },
  proposed(ctx, x, y, r) {
    disc(ctx, x, y, r, "#4a4a4a");
    for (const u of [-0.45, 0, 0.45]) strokes(ctx, x, y, r, [[[u, 0], [u, 0.02]]]);
  },
  outside(ctx, x, y, r) {
    ctx.fillStyle = "#5a5a5a";
    ctx.fillRect(x - r, y - r, 2 * r, 2 * r);
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = "#fff";
    ctx.strokeRect(x - r, y - r, 2 * r, 2 * r);
    strokes(ctx, x, y, r, [[[-0.5, 0], [0.5, 0]], [[0, -0.5], [0, 0.5]]]);
  },
  added(ctx, x, y, r) {
    disc(ctx, x, y, r, "#0b57d0");
    strokes(ctx, x, y, r, [[[-0.5, 0], [0.5, 0]], [[0, -0.5], [0, 0.5]]]);
  },
};

// The edge in the colour of the type; dashed where the pack was unsure and nobody has looked.
export function edge(ctx, x, y, size, colour, dashed) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = 3;
  ctx.lineCap = "butt";
  ctx.lineJoin = "miter";
  if (dashed) ctx.setLineDash([6, 5]);
  ctx.strokeRect(x + 1.5, y + 1.5, size - 3, size - 3);
  if (dashed) ctx.setLineDash([]);
}

export function cross(ctx, x, y, size) {
  ctx.fillStyle = "rgba(255, 255, 255, 0.6)";
  ctx.fillRect(x, y, size, size);
  ctx.beginPath();
  for (const [u, v] of [[0.2, 0.2], [0.8, 0.2]]) {
    ctx.moveTo(x + u * size, y + v * size);
    ctx.lineTo(x + (1 - u) * size, y + (1 - v) * size);
  }
  ctx.lineWidth = 3;
  ctx.strokeStyle = "#a3123a";
  ctx.stroke();
}
