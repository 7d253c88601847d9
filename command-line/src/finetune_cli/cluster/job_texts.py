# SPDX-License-Identifier: Apache-2.0
"""What is said of a job, out of its status. No I/O here."""

from collections.abc import Mapping, Sequence
from typing import Any

Body = Mapping[str, Any]

SUCCEEDED, FAILED = "Succeeded", "Failed"


def status_of(job: Body) -> Body:
    status: Body = job.get("status", {})
    return status


def phase_of(job: Body) -> str:
    return str(status_of(job).get("phase", "Pending"))


def is_over(job: Body) -> bool:
    return phase_of(job) in (SUCCEEDED, FAILED)


def why(job: Body) -> str:
    """What the condition Ready says: what is going on, or what is waited for."""
    for condition in status_of(job).get("conditions", ()):
        if condition["type"] == "Ready":
            return _plain(str(condition["message"]))
    return "the operator has not looked at it yet"


def headline(job: Body) -> str:
    """One line: phase, and why."""
    attempt = status_of(job).get("attempt", 0)
    number = f" (attempt {attempt})" if attempt > 1 else ""
    return f"{phase_of(job)}{number}: {why(job)}"


def figures(job: Body) -> list[str]:
    """Loss, speed and time left, as far as they are known."""
    progress = status_of(job).get("progress", {})
    told = []
    if "loss" in progress:
        told.append(f"loss {progress['loss']:.4g}")
    if "evalLoss" in progress:
        told.append(f"eval {progress['evalLoss']:.4g}")
    if "tokensPerSecond" in progress:
        told.append(f"{progress['tokensPerSecond']:,.0f} tokens/s")
    if progress.get("eta"):
        told.append(f"{progress['eta']} left")
    return told


def ending(job: Body) -> str:
    """What a person wants to know when it is over."""
    return _success(job) if phase_of(job) == SUCCEEDED else failure(job)


def failure(job: Body) -> str:
    """Why it failed, or its last attempt did, and what to do about it."""
    told = status_of(job).get("failure")
    if not told:
        return why(job)
    lines = [_plain(f"{told['reason']}: {told['message']}")]
    if told.get("remedy"):
        lines.append(f"  remedy: {_plain(told['remedy'])}")
    return "\n".join(lines)


def _success(job: Body) -> str:
    progress, artifact = status_of(job).get("progress", {}), status_of(job).get("artifact", {})
    lines = [f"Succeeded after {progress.get('step', 0)} steps."]
    history = status_of(job).get("lossHistory", ())
    if history and "loss" in progress:
        lines.append(f"  loss      {history[0]['loss']:.4g} -> {progress['loss']:.4g}")
    if "evalLoss" in progress:
        base = f"{progress['baseEvalLoss']:.4g} -> " if "baseEvalLoss" in progress else ""
        lines.append(f"  eval loss {base}{progress['evalLoss']:.4g}")
    if artifact:
        lines.append(f"  artifact  {artifact.get('uri')}")
        lines.append(f"  digest    {artifact.get('digest')}")
    return "\n".join(lines)


def attempts(job: Body) -> list[str]:
    """A line for each try: how it ended, why, and what that cost."""
    lines = []
    for attempt in status_of(job).get("attempts", ()):
        reason = f" {attempt['reason']}" if attempt.get("reason") else ""
        lost = f", {attempt['stepsLost']} steps lost" if attempt.get("stepsLost") else ""
        lines.append(f"{attempt['number']:>3}  {attempt['result']}{reason}{lost}")
    return lines


def answers(job: Body) -> list[str]:
    """Held-out prompts, with what the model answered before and after."""
    lines = []
    for answer in status_of(job).get("answers", ()):
        lines.append(f"  asked     {_on_one_line(answer['prompt'])}")
        known = [name for name in ("before", "after") if name in answer]
        lines += [f"    {name:<7} {_on_one_line(answer[name])}" for name in known]
    return lines


def _plain(text: str) -> str:
    """Without what a terminal would take for orders: a model may answer anything, and a message may
    quote a row of data. Its lines stay."""
    return "".join(it if it.isprintable() or it == "\n" else " " for it in text)


def _on_one_line(text: str) -> str:
    return _plain(text).replace("\n", " ")


def batch_jobs(job: Body) -> list[str]:
    """The names of its attempts' batch Jobs, the newest last."""
    return [str(attempt["name"]) for attempt in status_of(job).get("attempts", ())]


def pod_to_read(job: Body, pods: Sequence[Body]) -> str | None:
    """The pod whose log tells most: that of the first failing rank, or node 0 of the last attempt.

    None where there is no pod any more.
    """
    number = str(status_of(job).get("attempt", 1))
    newest = [it for it in pods if _label(it, "finetune.dev/attempt") == number] or list(pods)
    failed = [it for it in newest if it.get("status", {}).get("phase") == "Failed"]
    chosen = sorted(failed or newest, key=_ended_first)
    return str(chosen[0]["metadata"]["name"]) if chosen else None


def _label(pod: Body, name: str) -> str | None:
    labels: Mapping[str, str] = pod["metadata"].get("labels", {})
    return labels.get(name)


def _ended_first(pod: Body) -> tuple[str, int]:
    """A rank that fails takes the others with it: the first to end is the one to read."""
    states = [it.get("state", {}) for it in pod.get("status", {}).get("containerStatuses", ())]
    ends = [it["terminated"].get("finishedAt") or "9" for it in states if "terminated" in it]
    index = _label(pod, "batch.kubernetes.io/job-completion-index") or "0"
    return min(ends, default="9"), int(index)
