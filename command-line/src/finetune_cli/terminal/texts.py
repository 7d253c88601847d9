# SPDX-License-Identifier: Apache-2.0
"""The texts of both commands about a finished run. Pure.

A model may answer anything, and a message may quote a row of data: no word of it can create a line
that looks like ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_contract.printable import indented, on_one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """The figures and the artifact of a successful run; None if unknown."""

    step: int
    note: str = ""
    first_loss: float | None = None
    loss: float | None = None
    base_eval_loss: float | None = None
    eval_loss: float | None = None
    artifact: str | None = None
    digest: str | None = None
    notes: Sequence[tuple[str, str]] = ()
    """Severity and sentence of notes for its user, warnings first."""


def render_success(success: Success) -> Iterator[str]:
    """A line for each known value."""
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
    """Why a run failed, and the remedy."""
    yield indented(f"{reason}: {message}")
    if remedy:
        yield f"  remedy: {indented(remedy)}"


def render_answers(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Held-out prompts, with the model's answers before and after."""
    for answer in answers:
        yield row("asked", answer["prompt"].strip())
        for name in ("before", "after"):
            if name in answer:
                yield f"    {name + ':':<7} {_answer(answer[name])}"


def row(name: str, words: str) -> str:
    """A name and its value, in columns."""
    return f"  {name:<9} {on_one_line(words)}"


def _answer(text: str | None) -> str:
    if text is None:
        return "(not requested, or not in time)"
    return on_one_line(text).strip() or "(nothing)"
