// SPDX-License-Identifier: Apache-2.0
// Reads views with the user's token, and again while they are looked at. Every view has an address
// that the server renders without this script, too, where a proxy adds the token.

import { Refused, read } from "./answers.js";
import { untilReleased } from "./press.js";
import { redraw, showTimes } from "./redraw.js";
import { askForToken } from "./sign-in.js";
import { token } from "./token.js";

const TYPING_MS = 250;

const at = (id) => document.getElementById(id);
const content = at("content");
const problem = at("problem");

let reading = new AbortController();
let drawn = null;
let typing = 0;

// What makes another view of it, and not another filter of the same.
function place(address = location.search) {
  const parameters = new URLSearchParams(address);
  return ["namespace", "name", "view", "page"].map((name) => parameters.get(name) || "").join("\n");
}

async function show({ isDrawn = false } = {}) {
  reading.abort();
  reading = new AbortController();
  const { signal } = reading;
  at("leave").hidden = !token.get();
  for (let first = true; !signal.aborted; first = false) {
    if (!(first && isDrawn) && !(await readOnce(signal))) {
      return;
    }
    await until(1000 * (Number(content.dataset.refresh) || 5), signal);
  }
}

// Returns whether it must be read again.
async function readOnce(signal) {
  try {
    const { main, title } = await read(`./${location.search}`, signal);
    await untilReleased();
    if (signal.aborted) {
      return false;
    }
    draw(main, title);
    say(problem, "");
    return true;
  } catch (error) {
    if (signal.aborted) {
      return false;
    }
    return refuse(error instanceof Refused ? error : new Refused(0, "This page's server does not answer."));
  }
}

function refuse({ status, message, main }) {
  if (status === 401) {
    signIn(token.get() ? "The API server does not take this token." : "");
    return false;
  }
  if (main && drawn !== place()) {
    main.dataset.address = `./${location.search}`;
    draw(main, document.title);
  }
  say(problem, message);
  return status !== 403 && status !== 400;
}

// Another place starts at its top; the same one, read again, leaves its users where they are.
function draw(main, title) {
  if (drawn === place()) {
    redraw(content, main);
  } else {
    Object.assign(content.dataset, main.dataset);
    content.replaceChildren(...main.children);
    at("namespace").value = new URLSearchParams(location.search).get("namespace") || "";
    if (drawn !== null) {
      content.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
  }
  finish(title);
}

function finish(title) {
  // Without what is the default, or out of bounds.
  history.replaceState(null, "", content.dataset.address);
  drawn = place();
  showTimes(content);
  document.title = title;
  say(at("news"), content.dataset.news || "");
}

function say(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

function signIn(why) {
  token.forget();
  at("leave").hidden = true;
  drawn = null;
  say(problem, why);
  askForToken(content, (given) => {
    token.set(given);
    show();
  });
}

function go(address, { replaces = false } = {}) {
  clearTimeout(typing);
  history[replaces ? "replaceState" : "pushState"](null, "", `./${address}`);
  show();
}

// What a form requests, without what is empty.
function addressOf(form, submitter) {
  const given = [...new FormData(form, submitter)].filter(([, value]) => value !== "");
  const parameters = `${new URLSearchParams(given)}`.replaceAll("%2F", "/");
  return parameters ? `?${parameters}` : "";
}

// Addresses of earlier versions: `#/namespace/job`.
function leaveHash() {
  if (location.hash.startsWith("#/")) {
    const [namespace = "", name = ""] = location.hash.slice(2).split("/").map(decodeURIComponent);
    const parameters = new URLSearchParams([["namespace", namespace], ["name", name]].filter(([, it]) => it));
    history.replaceState(null, "", `./${namespace ? `?${parameters}` : ""}`);
    return true;
  }
  return false;
}

function until(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const { origin, pathname, search, hash } = new URL(link.href);
  if (origin !== location.origin || pathname !== location.pathname) {
    return;
  }
  event.preventDefault();
  if (hash) {
    content.focus();
  } else {
    go(search);
  }
});
document.addEventListener("submit", (event) => {
  if (event.target.method === "get") {
    event.preventDefault();
    go(addressOf(event.target, event.submitter));
  }
});
document.addEventListener("change", ({ target }) => {
  if (target.form?.id === "filter" && target.type !== "search") {
    go(addressOf(target.form), { replaces: true });
  }
});
document.addEventListener("input", ({ target }) => {
  if (target.form?.id === "filter" && target.type === "search") {
    clearTimeout(typing);
    typing = setTimeout(() => go(addressOf(target.form), { replaces: true }), TYPING_MS);
  }
});
at("leave").addEventListener("click", () => {
  reading.abort();
  signIn("");
});
// Nobody looks: nothing is read.
document.addEventListener("visibilitychange", () => (document.hidden ? reading.abort() : show()));
window.addEventListener("popstate", () => {
  clearTimeout(typing);
  leaveHash() || show();
});
window.addEventListener("hashchange", () => leaveHash() && show());

document.documentElement.classList.add("scripted");
const isDrawn = !leaveHash() && !("signIn" in content.dataset) && !at("refusal");
if (isDrawn) {
  finish(document.title);
}
show({ isDrawn });
