# SPDX-License-Identifier: Apache-2.0
"""An exception in the form that the rules of `classification` read. No I/O, no torch."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import Stage

_OURS = ("finetune_", "__main__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The input of the rules."""

    error: BaseException
    stage: Stage
    chain: tuple[BaseException, ...]
    """The error and its causes."""
    names: frozenset[str] = field(default_factory=frozenset)
    """The names of all their classes."""
    text: str = ""

    @classmethod
    def of(cls, error: BaseException, stage: Stage) -> "Raised":
        chain = tuple(_chain(error))
        names = frozenset(kind.__name__ for link in chain for kind in type(link).__mro__)
        text = " ".join(" ".join(str(link) for link in chain).split())
        return cls(error=error, stage=stage, chain=chain, names=names, text=text)

    @property
    def message(self) -> str:
        return f"while {self.stage.value}: {_sentence(self.error)}"

    @property
    def is_of_a_library(self) -> bool:
        """Whether it was raised in a library."""
        trace = self.error.__traceback__
        if trace is None:
            return False
        while trace.tb_next is not None:
            trace = trace.tb_next
        return not str(trace.tb_frame.f_globals.get("__name__")).startswith(_OURS)

    def says(self, traces: "re.Pattern[str]") -> bool:
        return traces.search(self.text) is not None

    def failure(self, reason: Reason, remedy: str, message: str = "") -> Failure:
        return reason.failure(message or self.message, remedy)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _sentence(error: BaseException) -> str:
    """The error in one line, with the cause that it wraps."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        # Its text alone would be a single word.
        return f"there is no {text}"
    if error.__cause__ is not None and (cause := _sentence(error.__cause__)) not in text:
        return f"{text}: {cause}"
    return text or type(error).__name__
