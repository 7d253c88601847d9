# SPDX-License-Identifier: Apache-2.0
"""What both commands print when a run is over. Pure.

A model may answer anything, and a message may quote a row of data: no word of it makes a line that
looks like one of ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_contract.printable import indented, on_one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """The figures and the artifact of a run that succeeded; None where they are not known."""

    step: int
    note: str = ""
    first_loss: float | None = None
    loss: float | None = None
    base_eval_loss: float | None = None
    eval_loss: float | None = None
    artifact: str | None = None
    digest: str | None = None
    notes: Sequence[tuple[str, str]] = ()
    """Severity and sentence of what its user should know, warnings first."""


def render_success(success: Success) -> Iterator[str]:
    """A line for each thing that is known."""
    note = f": {on_one_line(success.note)}" if success.note else ""
    yield f"Succeeded after {success.step} steps{note}."
    if success.loss is not None and success.first_loss is not None:
        yield row("loss", f"{success.first_loss:.4g} -> {success.loss:.4g}")
    if success.eval_loss is not None:
        base = "" if success.base_eval_loss is None else f"{success.base_eval_loss:.4g} -> "
        yield row("eval loss", f"{base}{success.eval_loss:.4g}")
    if success.artifact is not None:
        yield row("artifact", success.artifact)
        yield row("digest", str(success.digest))
    for severity, message in success.notes:
        yield row(severity.lower(), message)


def render_failure(reason: str, message: str, remedy: str) -> Iterator[str]:
    """Why a run failed, and what to do about it."""
    yield indented(f"{reason}: {message}")
    if remedy:
        yield f"  remedy: {indented(remedy)}"


def render_answers(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Held-out prompts, with what the model answered before and after."""
    for answer in answers:
        yield row("asked", answer["prompt"].strip())
        for name in ("before", "after"):
            if name in answer:
                yield f"    {name + ':':<7} {_answer(answer[name])}"


def row(name: str, words: str) -> str:
    """A name and what is known of it, in columns."""
    return f"  {name:<9} {on_one_line(words)}"


def _answer(text: str | None) -> str:
    if text is None:
        return "(not requested, or not in time)"
    return on_one_line(text).strip() or "(nothing)"
