// SPDX-License-Identifier: Apache-2.0
// One curve as SVG, which says in words what it shows, with its figures in a table below.

import { html, svg, table } from "./elements.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [720, 280, 56, 12, 12, 34];
const LINES = 5;

// points: [{x, y}], with x rising.
export function curve(name, points) {
  const [first, last] = [points[0], points[points.length - 1]];
  const words =
    points.length === 1
      ? `${name}: ${short(first.y)} at step ${first.x}`
      : `${name}: from ${short(first.y)} at step ${first.x} to ${short(last.y)} at step ${last.x}`;
  return html(
    "figure",
    {},
    picture(words, points),
    html("figcaption", {}, words),
    html(
      "details",
      {},
      html("summary", {}, "Figures"),
      table(`${name} by step`, ["Step", name], points.map(({ x, y }) => [`${x}`, short(y)])),
    ),
  );
}

function picture(words, points) {
  const values = points.map(({ y }) => y);
  // From zero where zero is near: a loss is read against it.
  const low = Math.min(0, ...values);
  const unit = roundUnit((Math.max(...values) - low) / LINES);
  const high = low + unit * Math.max(1, Math.ceil((Math.max(...values) - low) / unit - 1e-9));
  const [start, end] = [points[0].x, points[points.length - 1].x];
  const placeX = (x) => LEFT + ((x - start) / Math.max(1, end - start)) * (WIDTH - LEFT - RIGHT);
  const placeY = (y) => HEIGHT - BOTTOM - ((y - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);

  const grid = [];
  for (let y = low; y <= high + unit / 2; y += unit) {
    const at = placeY(y).toFixed(1);
    grid.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at }));
    grid.push(svg("text", { x: LEFT - 8, y: at, dy: 4, "text-anchor": "end" }, short(y)));
  }
  const below = { y: HEIGHT - 10 };
  grid.push(svg("text", { ...below, x: LEFT }, `${start}`));
  grid.push(svg("text", { ...below, x: (LEFT + WIDTH) / 2, "text-anchor": "middle" }, "step"));
  if (end !== start) {
    grid.push(svg("text", { ...below, x: WIDTH - RIGHT, "text-anchor": "end" }, `${end}`));
  }
  const line =
    points.length === 1
      ? svg("circle", { class: "point", cx: placeX(start), cy: placeY(values[0]), r: 4 })
      : svg("polyline", {
          class: "curve",
          points: points.map(({ x, y }) => `${placeX(x).toFixed(1)},${placeY(y).toFixed(1)}`).join(" "),
        });
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    grid,
    line,
  );
}

// The next of 1, 2, 5, 10, ... times a power of ten.
function roundUnit(least) {
  if (!(least > 0)) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((times) => times * power >= least * (1 - 1e-9));
}

export function short(value) {
  return `${Number(value.toPrecision(4))}`;
}
