# SPDX-License-Identifier: Apache-2.0
"""Texts about a job, from its status. No I/O here."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_cli.terminal import texts
from finetune_cli.terminal.display import Steps
from finetune_contract.object_names import is_object_name
from finetune_contract.outcome import Category, ExitCode
from finetune_contract.printable import indented, on_one_line
from finetune_trainer.progress.progress_line import render_known

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
    """The message of the condition Ready: the current activity, or the reason for waiting."""
    for condition in status_of(job).get("conditions", ()):
        if condition["type"] == "Ready":
            return str(condition["message"])
    return "the operator has not looked at it yet"


def headline(job: Body) -> str:
    """One line: phase, and reason."""
    attempt = status_of(job).get("attempt", 0)
    number = f" (attempt {attempt})" if attempt > 1 else ""
    return on_one_line(f"{phase_of(job)}{number}: {why(job)}")


def steps_of(job: Body) -> Steps | None:
    """The progress, once it trains."""
    progress = status_of(job).get("progress", {})
    if not progress.get("totalSteps"):
        return None
    figures = render_known(
        loss=progress.get("loss"),
        eval_loss=progress.get("evalLoss"),
        tokens_per_second=progress.get("tokensPerSecond"),
        eta=progress.get("eta", ""),
    )
    return Steps(
        step=progress.get("step", 0),
        total=progress["totalSteps"],
        percent=progress.get("percent", 0),
        figures=tuple(figures),
    )


def exit_code(job: Body) -> int:
    """The same as that of `finetune run` for this result; an unfinished job has not failed."""
    if phase_of(job) != FAILED:
        return int(ExitCode.SUCCEEDED)
    told = status_of(job).get("failure")
    if not told:
        # It was rejected before its first attempt.
        return int(ExitCode.USER)
    categories = {category.value: category for category in Category}
    return int(ExitCode.of(categories.get(told.get("category"), Category.INTERNAL)))


def ending(job: Body) -> str:
    """The text about a finished job."""
    return _success(job) if phase_of(job) == SUCCEEDED else failure(job)


def failure(job: Body) -> str:
    """Why it, or its last attempt, failed, and the remedy."""
    told = status_of(job).get("failure")
    if not told:
        return indented(why(job))
    return "\n".join(texts.render_failure(told["reason"], told["message"], told.get("remedy", "")))


def _success(job: Body) -> str:
    progress, artifact = status_of(job).get("progress", {}), status_of(job).get("artifact", {})
    history = status_of(job).get("lossHistory", ())
    success = texts.Success(
        step=progress.get("step", 0),
        first_loss=history[0]["loss"] if history else None,
        loss=progress.get("loss"),
        base_eval_loss=progress.get("baseEvalLoss"),
        eval_loss=progress.get("evalLoss"),
        artifact=artifact.get("uri"),
        digest=artifact.get("digest"),
        notes=[(note["severity"], note["message"]) for note in status_of(job).get("notes", ())],
    )
    return "\n".join(texts.render_success(success))


def attempts(job: Body) -> list[str]:
    """A line for each attempt: its result, the reason, and the cost."""
    lines = []
    for attempt in status_of(job).get("attempts", ()):
        reason = f" {attempt['reason']}" if attempt.get("reason") else ""
        lost = f", {attempt['stepsLost']} steps lost" if attempt.get("stepsLost") else ""
        told = on_one_line(f"{attempt['result']}{reason}{lost}")
        lines.append(f"{attempt['number']:>3}  {told}")
    return lines


def answers(job: Body) -> list[str]:
    """Held-out prompts, with the model's answers before and after."""
    return [*texts.render_answers(status_of(job).get("answers", ()))]


def batch_jobs(job: Body) -> list[str]:
    """The names of its attempts' batch Jobs, the newest last. They become arguments of kubectl, and
    a status can be edited by hand.
    """
    names = (str(attempt["name"]) for attempt in status_of(job).get("attempts", ()))
    return [name for name in names if is_object_name(name)]


def pod_to_read(job: Body, pods: Sequence[Body]) -> str | None:
    """The pod with the most informative log: that of the first failing rank, or node 0 of the last
    attempt.

    None if there are no pods any more.
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
    """A failing rank makes the others fail: the first to end is the one to read."""
    states = [it.get("state", {}) for it in pod.get("status", {}).get("containerStatuses", ())]
    ends = [it["terminated"].get("finishedAt") or "9" for it in states if "terminated" in it]
    index = _label(pod, "batch.kubernetes.io/job-completion-index") or "0"
    return min(ends, default="9"), int(index)
