# SPDX-License-Identifier: Apache-2.0
"""Binds arguments to a user's metric function by the names of its parameters.

Functions are written for many trainers, each with another order: trlX calls `metric_fn(samples,
prompts, outputs)`, MLflow `eval_fn(predictions, targets)`. Names are unambiguous; an order is not.
Pure: a signature and lists in, arguments out.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

PROMPTS, OUTPUTS, REFERENCES, SAMPLES = "prompts", "outputs", "references", "samples"

NAMES: Mapping[str, tuple[str, ...]] = {
    PROMPTS: ("prompts", "questions", "inputs", "queries"),
    OUTPUTS: ("outputs", "answers", "predictions", "responses", "completions", "generations"),
    REFERENCES: ("references", "labels", "targets", "expected", "ground_truths"),
    SAMPLES: ("samples",),
}
"""Available value -> the names that a parameter for it may have."""

_MEANINGS: Mapping[str, str] = {
    PROMPTS: "the prompts",
    OUTPUTS: "the model's answers",
    REFERENCES: "the answers of the data",
    SAMPLES: "each prompt followed by the model's answer",
}

_MEANING_OF: Mapping[str, str] = {name: given for given, names in NAMES.items() for name in names}


class UnknownParameters(Exception):
    """A function that cannot be called by name; the message continues after the function's name."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The value for each of a function's parameters."""

    positional: tuple[str, ...]
    """Positional values in order: parameters before a `/`."""
    named: Mapping[str, str]
    """Parameter -> its value."""
    takes_the_rest: bool
    """Whether there is a `**` parameter, as in trlX's functions for later additions."""

    needs_references: bool
    """Whether the function requires the answers of the data."""

    def call(self, function: Callable[..., Any], given: Mapping[str, Sequence[Any]]) -> Any:
        """The function's result for lists of its own."""
        first = [list(given[name]) for name in self.positional]
        named = {parameter: list(given[name]) for parameter, name in self.named.items()}
        if self.takes_the_rest:
            taken = {*self.positional, *self.named.values()}
            named |= {name: list(lists) for name, lists in given.items() if name not in taken}
        return function(*first, **named)


def bind(function: Callable[..., Any]) -> Binding:
    """The value of each parameter of this function.

    Raises:
        UnknownParameters: it requires an unknown one, two with one meaning, or accepts none.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise UnknownParameters(
            "does not expose the names of its parameters",
            f"call it in a function of yours: {_names()}",
        ) from None
    unknown = [each.name for each in parameters if _is_unknown(each)]
    if unknown:
        raise UnknownParameters(
            f"has the parameter{'s' * (len(unknown) > 1)} {', '.join(unknown)}, but a metric "
            f"function receives lists with the names {_all_names()}",
            _nearest(unknown) or _names(),
        )
    known = [each for each in parameters if each.name in _MEANING_OF and not _is_variadic(each)]
    takes_the_rest = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)
    if not known and not takes_the_rest:
        raise UnknownParameters("has no parameter for answers to evaluate", _names())
    _require_distinct([each.name for each in known])
    is_positional = [each.kind is Parameter.POSITIONAL_ONLY for each in known]
    return Binding(
        positional=tuple(
            _MEANING_OF[each.name]
            for each, is_first in zip(known, is_positional, strict=True)
            if is_first
        ),
        named={
            each.name: _MEANING_OF[each.name]
            for each, is_first in zip(known, is_positional, strict=True)
            if not is_first
        },
        takes_the_rest=takes_the_rest,
        needs_references=any(
            _MEANING_OF[each.name] == REFERENCES and each.default is Parameter.empty
            for each in known
        ),
    )


def _is_variadic(parameter: Parameter) -> bool:
    return parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)


def _is_unknown(parameter: Parameter) -> bool:
    """Whether it is required and has an unknown name. `*args` would silently get nothing."""
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return True
    is_needed = parameter.default is Parameter.empty and not _is_variadic(parameter)
    return is_needed and parameter.name not in _MEANING_OF


def _require_distinct(names: Sequence[str]) -> None:
    for meaning, spellings in NAMES.items():
        twice = [name for name in names if name in spellings]
        if len(twice) > 1:
            raise UnknownParameters(
                f"has the parameters {' and '.join(twice)}, which are both {_MEANINGS[meaning]}",
                f"rename the wrong one: {_names()}",
            )


def _nearest(unknown: Sequence[str]) -> str:
    """The intended names, if all of them are nearly right."""
    found = [difflib.get_close_matches(name, _MEANING_OF, n=1, cutoff=0.75) for name in unknown]
    if not all(found):
        return ""
    renamed = ", ".join(
        f"{name} to {near[0]} ({_MEANINGS[_MEANING_OF[near[0]]]}, a list)"
        for name, near in zip(unknown, found, strict=True)
    )
    return f"rename {renamed}: it is called once, with all of them"


def _names() -> str:
    told = [f"{name} for {meaning}" for name, meaning in _MEANINGS.items()]
    return f"name its parameters {', '.join(told[:-1])}, or {told[-1]}"


def _all_names() -> str:
    return ", ".join(name for names in NAMES.values() for name in names)
