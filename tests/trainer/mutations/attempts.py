# SPDX-License-Identifier: Apache-2.0
"""Carries out an attempt with spoiled input, and reports problems of its result."""

import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from finetune_contract.outcome import Category, Outcome
from trainer import in_process
from trainer.cases.watching import Row
from trainer.mutations.configs import SpoiledConfig
from trainer.mutations.data_file import DataFile
from trainer.runs import a_folder

BOUND_SECONDS = 90.0
"""Limit of CPU time, because wall time is longer on a busy machine."""
IDLE_SECONDS = 900.0
"""Limit of wall time: a process that waits forever uses no CPU time."""

AWAY = ("HubUnreachable",)
"""Reasons that an attempt without a network may give."""


class TookTooLong(BaseException):
    """No library's `except Exception` catches it."""


def attempt(model: Path, data: Path | DataFile, config: Mapping[str, Any]) -> Outcome | None:
    """The result of an attempt with one step; None if it did not end."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        place = Path(folder)
        if isinstance(data, DataFile):
            data = a_folder(place / "data", {data.name: data.body})
        try:
            with bounded():
                return in_process.train(place, model, data, **config).outcome
        except TookTooLong:
            return None
        finally:
            shutil.rmtree(place / "work", ignore_errors=True)


def complaint_about(outcome: Outcome | None) -> str:
    """The violated rule for any user input; empty if there is none."""
    if outcome is None:
        return f"it did not end within {BOUND_SECONDS:g} s of computing, or {IDLE_SECONDS:g} s"
    failure = outcome.failure
    if failure is None:
        return ""
    told = f"{failure.reason}: {failure.message}"
    if failure.category is Category.USER:
        if "Traceback" in told or not failure.message or not failure.remedy:
            return f"it is not told as a sentence with a remedy: {told}"
        return ""
    if failure.reason in AWAY:
        return ""
    return f"it is blamed on {failure.category.value}: {told}"


def complaint_about_config(outcome: Outcome | None, config: SpoiledConfig) -> str:
    """The same for a config: nothing is trained with a meaningless value."""
    if (complaint := complaint_about(outcome)) or outcome is None:
        return complaint
    if outcome.failure is None and config.wrong:
        return f"it was trained in silence, with {', '.join(config.wrong)}"
    return ""


def complaint_about_rows(outcome: Outcome | None, file: DataFile) -> str:
    """The same for a data file: its rows are the trained and the dropped ones."""
    if (complaint := complaint_about(outcome)) or outcome is None:
        return complaint
    if outcome.failure is not None:
        if file.is_sound:
            return f"it is refused: {outcome.failure.reason}: {outcome.failure.message}"
        return ""
    figures = outcome.figures or {}
    rows, dropped = figures.get("rows"), figures.get("rows_dropped")
    if rows is None or dropped is None:
        return "it does not say what became of its rows"
    if file.rows is not None and rows != file.rows:
        return f"it holds {file.rows} rows, and the account says {rows:.0f}"
    if dropped < file.unusable:
        return f"{file.unusable} rows cannot be trained on, and {dropped:.0f} were dropped"
    if file.is_sound and dropped:
        return f"{dropped:.0f} sound rows were dropped"
    return ""


def complaint_about_texts(outcome: Outcome | None, file: DataFile, rows: Sequence[Row]) -> str:
    """The same for the model's input: only the text of the file."""
    for row in rows:
        if file.texts is not None and row.text not in file.texts:
            return f"it was trained on {row.text!r}, which the file does not say"
        if file.never_learnt and file.never_learnt in row.learnt:
            return f"it has learnt {file.never_learnt}"
    notes = outcome.notes if outcome is not None and outcome.failure is None else ()
    if file.told and rows and not any(file.told in note.message for note in notes):
        return f"nothing was told of {file.told}"
    return ""


def complaint_about_model(outcome: Outcome | None) -> str:
    """The same for a model of which a part would be initialized at random."""
    if (complaint := complaint_about(outcome)) or outcome is None:
        return complaint
    return "it was trained" if outcome.failure is None else ""


@contextmanager
def bounded(busy: float = BOUND_SECONDS, idle: float = IDLE_SECONDS) -> Iterator[None]:
    """Give up on what computes, or waits, for longer.

    Raises:
        TookTooLong: it did.
    """

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    bounds = {
        signal.SIGPROF: (signal.ITIMER_PROF, busy),
        signal.SIGALRM: (signal.ITIMER_REAL, idle),
    }
    before = {number: signal.signal(number, give_up) for number in bounds}
    for timer, seconds in bounds.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in bounds.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
