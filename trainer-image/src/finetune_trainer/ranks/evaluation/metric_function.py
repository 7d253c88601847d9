# SPDX-License-Identifier: Apache-2.0
"""A user's function that judges answers: found beside the data or in the image, called, checked.

Whatever is wrong with it is told in one sentence, as its author's mistake.
"""

import difflib
import importlib
import importlib.util
import inspect
import math
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
from finetune_trainer.ranks.evaluation.random_states import keep_random_states
from finetune_trainer.ranks.evaluation.samples import Prompt

PREFIX = "eval_"
SUFFIX = ".py"
OF_TRL = frozenset(
    {
        *("loss", "mean_token_accuracy", "entropy", "num_tokens", "aux_loss", "runtime"),
        *("samples_per_second", "steps_per_second", "model_preparation_time"),
    }
)
"""What an evaluation tells by itself."""

_SHOWN = 8
"""Names, of those that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFunction:
    """A function of the user's, by the name that the config has for it."""

    name: str
    call: Callable[..., Any]

    def values(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> dict[str, float]:
        """What it says of these answers, by the names that `metric_for_best_model` takes.

        Raises:
            AttemptFailed: it raised, or gave something else than numbers.
        """
        contents = [prompt.content for prompt in prompts]
        references = [prompt.expected for prompt in prompts]
        try:
            with keep_random_states():
                returned = self.call(contents, list(answers), references)
        except Exception as error:
            raise _failed(f"{self.name} raised {_first_line(error)}{_line(error)}") from error
        return _checked(self.name, returned)


def find_metric_function(name: str, folders: Sequence[Path]) -> MetricFunction:
    """The function that the config names as `file.py:function` or `module:function`.

    A file lies in one of the folders of the data. A module lies there or in the image; what lies
    in the folder that the trainer was started in never counts.

    Raises:
        AttemptFailed: there is no such file, module or function, or it cannot be imported.
    """
    source, _, function = name.rpartition(":")
    module = _load(name, source, folders)
    there = [known for known, value in vars(module).items() if _is_function_of(module, value)]
    call = getattr(module, function, None)
    if call is None:
        raise _missing(f"{source} has no function {function}", function, there, f"{source}:")
    if not callable(call):
        raise _failed(f"{name} is no function but {_described(call)}")
    _require_three_parameters(name, call)
    return MetricFunction(name=name, call=call)


def _load(name: str, source: str, folders: Sequence[Path]) -> ModuleType:
    is_file = source.endswith(SUFFIX)
    relative = source if is_file else source.replace(".", "/") + SUFFIX
    for folder in folders:
        if (file := folder / relative).is_file():
            return _import_file(name, file, folder)
    if is_file:
        there = sorted({file.name for folder in folders for file in folder.glob(f"*{SUFFIX}")})
        raise _missing(f"beside the data there is no {source}", source, there, "")
    return _import_module(name, source)


def _import_file(name: str, file: Path, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"metric_fn_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise _failed(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # For what lies beside it. At the end, so that nothing of the image is hidden by the data.
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
                f"there is no module {source}, beside the data or in the image", source, (), ""
            ) from error
        raise _failed(f"{name} cannot be imported: {_first_line(error)}") from error
    except Exception as error:
        raise _failed(f"{name} cannot be imported: {_first_line(error)}") from error


@contextmanager
def _without_working_folder() -> Iterator[None]:
    """Python looks there first for what `python -m` runs."""
    before = sys.path
    working = str(Path.cwd().resolve())
    sys.path = [place for place in before if place and os.path.realpath(place) != working]
    try:
        yield
    finally:
        sys.path = before


def _require_three_parameters(name: str, call: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):
        return  # written in C: the first call will tell
    try:
        signature.bind([], [], [])
    except TypeError:
        raise _failed(
            f"{name} takes {signature}, expected three parameters: prompts, answers, references"
        ) from None


def _checked(name: str, returned: Any) -> dict[str, float]:
    if not isinstance(returned, Mapping) or not returned:
        found = _described(returned) if not isinstance(returned, Mapping) else "an empty mapping"
        raise _failed(f"{name} returned {found}, expected a mapping of names to numbers")
    values: dict[str, float] = {}
    for key, value in returned.items():
        if not isinstance(key, str) or not key.removeprefix(PREFIX):
            raise _failed(f"{name} returned a value named {key!r:.60}, expected a text")
        bare = key.removeprefix(PREFIX)
        if bare in OF_TRL:
            raise _failed(f"{name} returned a value named {key}, which every evaluation has itself")
        number = _number(value)
        if number is None:
            raise _failed(f"{name} returned {_described(value)} for {key}, expected a number")
        values[PREFIX + bare] = number
    return values


def _number(value: Any) -> float | None:
    """Also NumPy's and torch's numbers; None for what is no number, or not finite."""
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def _is_function_of(module: ModuleType, value: Any) -> bool:
    is_own = getattr(value, "__module__", None) == module.__name__
    return inspect.isfunction(value) and is_own and not value.__name__.startswith("_")


def _described(value: Any) -> str:
    if isinstance(value, int | float | str) or value is None:
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _line(error: BaseException) -> str:
    """Where in the user's file; of the call that leads to the error the last that is theirs."""
    if isinstance(error, SyntaxError):
        return ""  # it says so itself
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<")][1:]
    if not own:
        return ""
    first = Path(own[0].filename)
    theirs = [frame for frame in own if Path(frame.filename) == first]
    return f" ({first.name}, line {theirs[-1].lineno})"


def _missing(message: str, wanted: str, there: Collection[str], before: str) -> AttemptFailed:
    beside = f"; there is {', '.join(sorted(there)[:_SHOWN])}" if there else ""
    nearest = difflib.get_close_matches(wanted, there, n=1, cutoff=0.5)
    hint = f": did you mean {before}{nearest[0]}?" if nearest else ""
    return attempt_failed(
        Reason.METRIC_NOT_FOUND,
        f"metric_fn: {message}{beside}",
        f"correct metric_fn{hint}" if hint else "correct metric_fn, or put the file to the data",
    )


def _failed(message: str) -> AttemptFailed:
    return attempt_failed(
        Reason.METRIC_FAILED,
        f"metric_fn: {message}",
        "correct the function, and try it where you wrote it: it gets three lists, of prompts, "
        "answers and references",
    )
