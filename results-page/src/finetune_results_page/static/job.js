// SPDX-License-Identifier: Apache-2.0
// One job: where it stands, what went wrong and what to do, its curve, its answers, its attempts.

import { curve, short } from "./curves.js";
import { html, table, tiles } from "./elements.js";

const TONES = { Succeeded: "good", Failed: "bad" };

export function showJob(job) {
  const { metadata, spec, status = {} } = job;
  return [
    html("h1", {}, metadata.name),
    html(
      "p",
      { class: "soft" },
      html("a", { href: `#/${metadata.namespace}` }, metadata.namespace),
      ` · made ${when(metadata.creationTimestamp)}`,
    ),
    standing(status),
    trouble(status),
    figures(spec, status),
    loss(status),
    answers(status),
    attempts(status),
    result(status),
    html(
      "details",
      {},
      html("summary", {}, "Spec"),
      html("pre", { tabindex: "0" }, JSON.stringify(spec, null, 2)),
    ),
  ].filter((part) => part != null);
}

// In a sentence: the page's title, and what a screen reader is told when it changes.
export function standingOf(job) {
  const { phase = "Pending" } = job.status || {};
  return `${job.metadata.name}: ${phase}`;
}

function standing(status) {
  const { phase = "Pending", progress = {} } = status;
  const word = html("strong", { class: TONES[phase] || "" }, phase);
  const message = phase === "Failed" ? null : conditionOf(status, "Ready", "False")?.message;
  const bar =
    progress.percent != null && phase !== "Failed"
      ? html("progress", { max: 100, value: progress.percent, "aria-label": "Progress" })
      : null;
  return html("div", {}, html("p", {}, word, message ? ` · ${message}` : ""), bar);
}

function trouble(status) {
  const refused = conditionOf(status, "Accepted", "False");
  const failure = status.failure || refused;
  if (!failure || status.phase === "Succeeded") {
    return null;
  }
  return html(
    "section",
    { class: "failure", "aria-label": "What went wrong" },
    html("p", {}, html("strong", {}, failure.reason)),
    html("p", {}, failure.message || ""),
    failure.remedy ? html("p", {}, html("strong", {}, "What to do: "), failure.remedy) : null,
  );
}

function figures(spec, status) {
  const { progress = {}, memory = {}, gpuHours = {} } = status;
  const number = (value) => (value == null ? null : short(value));
  return tiles({
    Model: spec.config?.model_name_or_path,
    Step: progress.step == null ? null : `${progress.step} of ${progress.totalSteps ?? "?"}`,
    Epoch: number(progress.epoch),
    Loss: number(progress.loss),
    "Eval loss": number(progress.evalLoss),
    "Eval loss before": number(progress.baseEvalLoss),
    ...Object.fromEntries(
      Object.entries(progress.metrics || {}).map(([name, value]) => [name, number(value)]),
    ),
    "Tokens per second": number(progress.tokensPerSecond),
    Remaining: progress.eta,
    GPUs: status.gpus,
    "GPU memory, at most": memory.peak,
    "GPU hours": number(gpuHours.used),
    Attempt: status.attempt,
  });
}

function loss(status) {
  const history = (status.lossHistory || []).map(({ step, loss }) => ({ x: step, y: loss }));
  return history.length
    ? html("section", {}, html("h2", {}, "Training loss"), curve("Loss", history))
    : null;
}

function answers(status) {
  const rows = (status.answers || []).map(({ prompt, before, after }) => [prompt, before, after]);
  return rows.length
    ? html(
        "section",
        {},
        html("h2", {}, "Answers"),
        table("Held-out prompts, answered before and after", ["Prompt", "Before", "After"], rows, "text"),
      )
    : null;
}

function attempts(status) {
  const rows = (status.attempts || [])
    .map((attempt) => [
      `${attempt.number}`,
      attempt.result || "",
      when(attempt.startTime),
      when(attempt.endTime),
      attempt.lastStep == null ? "" : `${attempt.lastStep}`,
      [attempt.reason, attempt.message].filter(Boolean).join(": "),
      attempt.remedy || "",
    ])
    .reverse();
  const headings = ["Number", "Result", "Started", "Ended", "Last step", "Reason", "What to do"];
  return rows.length
    ? html("section", {}, html("h2", {}, "Attempts"), table("The newest first", headings, rows))
    : null;
}

function result(status) {
  if (!status.artifact) {
    return null;
  }
  const { uri, digest } = status.artifact;
  return html(
    "section",
    {},
    html("h2", {}, "Result"),
    tiles({ Place: uri, Digest: digest }),
  );
}

function conditionOf(status, type, state = "True") {
  return (status.conditions || []).find((it) => it.type === type && it.status === state);
}

function when(time) {
  return time ? new Date(time).toLocaleString() : "";
}
