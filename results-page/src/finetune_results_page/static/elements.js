// SPDX-License-Identifier: Apache-2.0
// Elements out of values. Text is set as text: nothing that a job says becomes markup.

const SVG = "http://www.w3.org/2000/svg";

export function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

// A table for which both headings and rows are lists of texts or elements.
export function table(caption, headings, rows, cell = "") {
  const head = html("tr", {}, headings.map((text) => html("th", { scope: "col" }, text)));
  const body = rows.map((row) =>
    html("tr", {}, row.map((value) => html("td", cell ? { class: cell } : {}, value))),
  );
  return html(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    html("table", {}, html("caption", {}, caption), html("thead", {}, head), html("tbody", {}, body)),
  );
}

// Tiles with a name and a value each; those without a value are left out.
export function tiles(values) {
  const told = Object.entries(values).filter(([, value]) => value != null && value !== "");
  return html(
    "dl",
    {},
    told.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, `${value}`))),
  );
}
