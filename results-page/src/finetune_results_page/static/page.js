// SPDX-License-Identifier: Apache-2.0
// Which view is shown, and when it is read again. The place is `#/`, `#/namespace` or
// `#/namespace/job`, so that each can be linked to.

import { html } from "./elements.js";
import { showJob, standingOf } from "./job.js";
import { showJobs } from "./jobs.js";
import { jobPath, jobsPath, read, Refused, token } from "./reading.js";

const EVERY_MS = 5000;

const at = (id) => document.getElementById(id);
const content = at("content");
const problem = at("problem");

let reading = new AbortController();
let drawn = null;
let told = "";

function place() {
  const [namespace = "", name = ""] = location.hash.replace(/^#\/?/, "").split("/");
  return { namespace: decodeURIComponent(namespace), name: decodeURIComponent(name) };
}

async function show() {
  reading.abort();
  reading = new AbortController();
  const { signal } = reading;
  const { namespace, name } = place();
  at("namespace").value = namespace;
  at("leave").hidden = !token.get();
  while (!signal.aborted) {
    try {
      const answer = await read(name ? jobPath(namespace, name) : jobsPath(namespace), signal);
      draw(name ? showJob(answer) : showJobs(answer, namespace));
      tell(name ? standingOf(answer) : namespace ? `Jobs in ${namespace}` : "Jobs");
      say(problem, "");
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      if (error instanceof Refused && error.status === 401) {
        return askForToken(token.get() ? "The API server does not take this token." : "");
      }
      if (drawn !== location.hash) {
        draw([html("h1", {}, name || namespace || "Jobs")]);
      }
      say(problem, error instanceof Refused ? error.message : "This page's server does not answer.");
      if (error instanceof Refused && error.status === 403) {
        return;
      }
    }
    await until(EVERY_MS, signal);
  }
}

// Another place starts at its top; the same one, read again, leaves its users where they are.
function draw(parts) {
  const open = [...content.querySelectorAll("details")].map((it) => it.open);
  const held = content.contains(document.activeElement) ? pathOf(document.activeElement) : null;
  const scrolled = [...content.querySelectorAll(".scroll, pre")].map((it) => it.scrollLeft);
  content.replaceChildren(...parts);
  if (drawn !== location.hash) {
    if (drawn !== null) {
      content.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    drawn = location.hash;
    return;
  }
  content.querySelectorAll("details").forEach((it, index) => (it.open = open[index] ?? false));
  content.querySelectorAll(".scroll, pre").forEach((it, index) => (it.scrollLeft = scrolled[index] ?? 0));
  if (held) {
    find(held)?.focus({ preventScroll: true });
  }
}

// The element that has the focus, by its address or else its place among those of its kind.
function pathOf(element) {
  const kind = element.localName;
  const index = [...content.querySelectorAll(kind)].indexOf(element);
  return { kind, index, href: element.getAttribute("href") };
}

function find({ kind, index, href }) {
  const all = [...content.querySelectorAll(kind)];
  return (href && all.find((it) => it.getAttribute("href") === href)) || all[index] || content;
}

function tell(words) {
  document.title = `${words} · Fine-tuning`;
  if (words !== told) {
    told = words;
    say(at("news"), words);
  }
}

function say(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

function askForToken(why) {
  token.forget();
  at("leave").hidden = true;
  const input = html("input", {
    id: "token", type: "password", required: "", autocomplete: "off", "aria-describedby": "token-help",
  });
  const form = html(
    "form",
    { id: "sign-in" },
    html("h1", {}, "Sign in"),
    html("label", { for: "token" }, "Bearer token"),
    input,
    html(
      "p",
      { id: "token-help", class: "soft" },
      "What it may read is shown, and no more. For example from ",
      html("code", {}, "kubectl create token NAME --namespace NAMESPACE"),
      "; it is kept in this tab only.",
    ),
    html("button", {}, "Sign in"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    show();
  });
  content.replaceChildren(form);
  document.title = "Sign in · Fine-tuning";
  say(problem, why);
  input.focus();
}

function until(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

at("where").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = `#/${encodeURIComponent(at("namespace").value.trim())}`;
  if (location.hash === wanted) {
    show();
  } else {
    location.hash = wanted;
  }
});
at("leave").addEventListener("click", () => {
  token.forget();
  reading.abort();
  askForToken("");
});
at("skip").addEventListener("click", (event) => {
  // Its address would be taken for a place.
  event.preventDefault();
  content.focus();
});
// Nobody looks: nothing is read.
document.addEventListener("visibilitychange", () => (document.hidden ? reading.abort() : show()));
window.addEventListener("hashchange", show);
show();
