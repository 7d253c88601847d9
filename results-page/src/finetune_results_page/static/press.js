// SPDX-License-Identifier: Apache-2.0
// Whether a user presses a key or a button right now. A browser drops the press of an element that is
// replaced before the release: a tick or a click would be lost.

let pressed = false;
const waiting = [];

function release() {
  pressed = false;
  // The release itself comes first: what it does decides what is read next.
  setTimeout(() => waiting.splice(0).forEach((resolve) => resolve()));
}

for (const start of ["keydown", "pointerdown"]) {
  window.addEventListener(start, () => (pressed = true), true);
}
// A window that loses the focus during a press may get no event of its release.
for (const end of ["keyup", "pointerup", "pointercancel", "blur"]) {
  window.addEventListener(end, release, true);
}

export async function untilReleased() {
  while (pressed) {
    await new Promise((resolve) => waiting.push(resolve));
  }
}
