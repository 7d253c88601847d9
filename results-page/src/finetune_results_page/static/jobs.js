// SPDX-License-Identifier: Apache-2.0
// All jobs: what `kubectl get finetunejobs -o wide` says of them.

import { html, table } from "./elements.js";

// answer: a meta.k8s.io/v1 Table, see https://kubernetes.io/docs/reference/using-api/api-concepts/
export function showJobs(answer, namespace) {
  const title = html("h1", {}, namespace ? `Jobs in ${namespace}` : "Jobs");
  const rows = [...(answer.rows || [])].sort(
    (one, other) => created(other).localeCompare(created(one)) || key(one).localeCompare(key(other)),
  );
  if (!rows.length) {
    const say = namespace ? `There is no job in ${namespace}.` : "There is no job.";
    return [title, html("p", {}, say)];
  }
  // `kubectl get -o wide` would show the namespace first, too.
  const columns = answer.columnDefinitions.map(({ name }) => name);
  const shown = rows.map((row) => {
    const { namespace: home, name } = row.object.metadata;
    const link = html("a", { href: `#/${home}/${name}` }, name);
    return [home, link, ...row.cells.slice(1).map((cell) => (cell == null ? "" : `${cell}`))];
  });
  const caption = `${rows.length} ${rows.length === 1 ? "job" : "jobs"}, the newest first`;
  return [title, table(caption, ["Namespace", ...columns], shown)];
}

const created = (row) => row.object.metadata.creationTimestamp;
const key = ({ object: { metadata } }) => `${metadata.namespace}/${metadata.name}`;
