// SPDX-License-Identifier: Apache-2.0
// Views as the page's server renders them, read with the user's own token.

import { token } from "./token.js";

export class Refused extends Error {
  constructor(status, message, main) {
    super(message);
    this.status = status;
    this.main = main;
  }
}

// The main part of a view and its title; Refused, with the server's words, where it is a refusal.
export async function read(address, signal) {
  // Without one of ours a proxy before this page may add its own.
  const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  const answer = await fetch(address, { headers, signal, cache: "no-store", credentials: "same-origin" });
  // A parsed document runs no script, and the content security policy runs none later.
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = page.getElementById("content");
  if (!main) {
    throw new Refused(answer.status, "This page's server does not answer.", null);
  }
  if (!answer.ok || "signIn" in main.dataset) {
    const refusal = main.querySelector("#refusal");
    refusal?.remove();
    throw new Refused(answer.ok ? 401 : answer.status, refusal?.textContent || "", main);
  }
  return { main, title: page.title };
}
