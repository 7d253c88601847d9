# SPDX-License-Identifier: Apache-2.0
"""A user's function that judges answers: found next to the data or in the image, called, checked.

Every problem is reported in one sentence, as its author's error.
"""

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.evaluation.metric_binding import (
    OUTPUTS,
    PROMPTS,
    REFERENCES,
    SAMPLES,
    Binding,
    UnknownParameters,
    bind,
)
from finetune_trainer.ranks.evaluation.metric_values import Unusable, described, read_values
from finetune_trainer.ranks.evaluation.random_states import keep_random_states
from finetune_trainer.ranks.evaluation.samples import Prompt

SUFFIX = ".py"

_SHOWN = 8
"""The number of existing names in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFunction:
    """A function of the user's, by its name in the config."""

    name: str
    call: Callable[..., Any]
    binding: Binding

    def values(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> dict[str, float]:
        """Its metrics for these answers, by the names that `metric_for_best_model` accepts.

        Raises:
            AttemptFailed: it raised, or returned something else than numbers.
        """
        given: Mapping[str, Sequence[Any]] = {
            PROMPTS: [prompt.content for prompt in prompts],
            OUTPUTS: list(answers),
            REFERENCES: [prompt.expected for prompt in prompts],
            SAMPLES: [
                prompt.answered(answer) for prompt, answer in zip(prompts, answers, strict=True)
            ],
        }
        try:
            with keep_random_states():
                returned = self.binding.call(self.call, given)
        except Exception as error:
            raise _failed(f"{self.name} raised {_first_line(error)}{_line(error)}") from error
        try:
            return read_values(returned, len(answers))
        except Unusable as unusable:
            raise _failed(f"{self.name} {unusable}") from None


def find_metric_function(name: str, folders: Sequence[Path]) -> MetricFunction:
    """The function that the config names as `file.py:function` or `module:function`.

    A file is in one of the directories of the data. A module is there or in the image; files in the
    working directory never count.

    Raises:
        AttemptFailed: there is no such file, module or function, or it cannot be imported.
    """
    source, _, function = name.rpartition(":")
    module = _load(name, source, folders)
    there = [known for known, value in vars(module).items() if _is_function_of(module, value)]
    call = getattr(module, function, None)
    if call is None:
        raise _missing(f"{source} has no function {function}", function, there, source + ":{}")
    if not callable(call):
        raise _failed(f"{name} is not a function but {described(call)}")
    try:
        binding = bind(call)
    except UnknownParameters as unknown:
        raise attempt_failed(
            Reason.METRIC_FAILED, f"metric_fn: {name} {unknown}", unknown.remedy
        ) from None
    return MetricFunction(name=name, call=call, binding=binding)


def _load(name: str, source: str, folders: Sequence[Path]) -> ModuleType:
    is_file = source.endswith(SUFFIX)
    relative = source if is_file else source.replace(".", "/") + SUFFIX
    for folder in folders:
        if (file := folder / relative).is_file():
            return _import_file(name, file, folder)
    if is_file:
        there = sorted({file.name for folder in folders for file in folder.glob(f"*{SUFFIX}")})
        function = name.rpartition(":")[2]
        raise _missing(f"there is no {source} next to the data", source, there, "{}:" + function)
    return _import_module(name, source)


def _import_file(name: str, file: Path, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"metric_fn_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise _failed(f"{name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # For modules next to it. At the end, so that the data hides nothing of the image.
    sys.path.append(str(folder))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        words = f"{name} cannot be imported: {_first_line(error)}{_line(error)}"
        raise _failed(words) from error
    return module


def _import_module(name: str, source: str) -> ModuleType:
    try:
        with _without_working_folder():
            return importlib.import_module(source)
    except ModuleNotFoundError as error:
        parents = {source.rsplit(".", cut)[0] for cut in range(source.count(".") + 1)}
        if error.name in parents:
            raise _missing(
                f"there is no module {source} next to the data or in the image", source, (), "{}"
            ) from error
        raise _failed(f"{name} cannot be imported: {_first_line(error)}") from error
    except Exception as error:
        raise _failed(f"{name} cannot be imported: {_first_line(error)}") from error


@contextmanager
def _without_working_folder() -> Iterator[None]:
    """With `python -m`, Python looks in the working directory first."""
    before = sys.path
    working = str(Path.cwd().resolve())
    sys.path = [place for place in before if place and os.path.realpath(place) != working]
    try:
        yield
    finally:
        sys.path = before


def _is_function_of(module: ModuleType, value: Any) -> bool:
    is_own = getattr(value, "__module__", None) == module.__name__
    return inspect.isfunction(value) and is_own and not value.__name__.startswith("_")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _line(error: BaseException) -> str:
    """The line in the user's file: the last one of theirs in the call that leads to the error."""
    if isinstance(error, SyntaxError):
        return ""  # It contains the line itself.
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(("<", ours))]
    if not own:
        return ""
    first = Path(own[0].filename)
    theirs = [frame for frame in own if Path(frame.filename) == first]
    return f" ({first.name}, line {theirs[-1].lineno})"


def _missing(message: str, wanted: str, there: Collection[str], form: str) -> AttemptFailed:
    """`form` is the value of metric_fn, with a place for one of the names that are there."""
    beside = f"; there is {', '.join(sorted(there)[:_SHOWN])}" if there else ""
    nearest = difflib.get_close_matches(wanted, there, n=1, cutoff=0.5)
    return attempt_failed(
        Reason.METRIC_NOT_FOUND,
        f"metric_fn: {message}{beside}",
        f"set metric_fn to {form.replace('{}', nearest[0])}"
        if nearest
        else f"set metric_fn to FILE{SUFFIX}:FUNCTION, and upload the file next to the data",
    )


def _failed(message: str) -> AttemptFailed:
    return attempt_failed(
        Reason.METRIC_FAILED,
        f"metric_fn: {message}",
        "change the function until it can be called where you wrote it: once, with lists",
    )
