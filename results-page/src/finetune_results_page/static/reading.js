// SPDX-License-Identifier: Apache-2.0
// Reads with the user's own token, which stays in this tab until it is closed or signed out.

const KEY = "token";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

// The API server's answer; Refused, with its words, where it is a refusal.
export async function read(path, signal) {
  // Without one of ours a proxy before this page may add its own.
  const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  const answer = await fetch(path, { headers, signal, cache: "no-store", credentials: "same-origin" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Refused(answer.status, body.message || `${answer.status} ${answer.statusText}`);
  }
  return body;
}

export const jobsPath = (namespace) =>
  namespace ? `api/namespaces/${encodeURIComponent(namespace)}/jobs` : "api/jobs";

export const jobPath = (namespace, name) =>
  `${jobsPath(namespace)}/${encodeURIComponent(name)}`;
