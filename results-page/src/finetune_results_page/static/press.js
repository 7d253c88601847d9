// SPDX-License-Identifier: Apache-2.0
// Waits until no key, button or finger is pressed. A browser drops the press of an element that is
// replaced before the release: a tick or a click would be lost.

// A release may be missing: a menu or dialog of the system can take it.
const LONGEST_MS = 10_000;
// The click of a tap comes after the release, as an event of its own.
const CLICK_MS = 100;
const PAUSE_MS = 20;

const ends = new Map();

function wait(milliseconds) {
  return ({ code, pointerId }) => ends.set(code ?? pointerId, performance.now() + milliseconds);
}

for (const press of ["keydown", "pointerdown"]) {
  window.addEventListener(press, wait(LONGEST_MS), true);
}
for (const release of ["keyup", "pointerup", "pointercancel"]) {
  window.addEventListener(release, wait(CLICK_MS), true);
}

export async function untilReleased() {
  while (Math.max(0, ...ends.values()) > performance.now()) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  ends.clear();
}
