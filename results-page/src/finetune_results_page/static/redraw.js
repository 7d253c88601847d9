// SPDX-License-Identifier: Apache-2.0
// Puts a view that was read into the page, and leaves its users where they are.

// fresh: the main part of the same place, read again.
export function redraw(content, fresh) {
  const open = [...content.querySelectorAll("details")].map((it) => it.open);
  const scrolled = [...content.querySelectorAll("pre")].map((it) => it.scrollLeft);
  const held = content.contains(document.activeElement) ? pathOf(content, document.activeElement) : null;
  replace(content, fresh);
  content.querySelectorAll("details").forEach((it, index) => (it.open = open[index] ?? false));
  content.querySelectorAll("pre").forEach((it, index) => (it.scrollLeft = scrolled[index] ?? 0));
  if (held && !content.contains(document.activeElement)) {
    find(content, held)?.focus({ preventScroll: true });
  }
}

// In the reader's time zone and language.
export function showTimes(content) {
  for (const time of content.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, {
      dateStyle: "medium", timeStyle: "short",
    });
  }
}

// A part in which somebody types or chooses is kept: a new one would lose what was typed.
function replace(content, fresh) {
  Object.assign(content.dataset, fresh.dataset);
  const active = document.activeElement;
  const kept = active.matches("input[type=search], select")
    ? [...content.children].find((it) => it.id && it.contains(active))
    : null;
  const parts = [...fresh.children];
  const place = kept ? parts.findIndex((it) => it.id === kept.id) : -1;
  if (place < 0) {
    content.replaceChildren(...parts);
    return;
  }
  [...content.children].filter((it) => it !== kept).forEach((it) => it.remove());
  kept.before(...parts.slice(0, place));
  kept.after(...parts.slice(place + 1));
}

// The element that has the focus, by its id, its address, or its place among those of its kind.
function pathOf(content, element) {
  const kind = element.localName;
  const index = [...content.querySelectorAll(kind)].indexOf(element);
  return { kind, index, id: element.id, href: element.getAttribute("href") };
}

function find(content, { kind, index, id, href }) {
  const all = [...content.querySelectorAll(kind)];
  const same = (id && all.find((it) => it.id === id))
    || (href && all.find((it) => it.getAttribute("href") === href));
  return same || all[index] || content;
}
