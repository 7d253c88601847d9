# SPDX-License-Identifier: Apache-2.0
"""The result of a check of a config, as a message for users. No I/O here."""

import difflib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

_LONGEST_VALUE = 60


_LONGEST_WORD = 200
"""Characters of a word that may be misspelt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The problem of one place in a config, in one sentence."""

    path: str
    """The place as its user wrote it, such as `learning_rte` or `datasets[0].path`."""
    message: str
    """The found value, the expected one and the nearest correct one; without the path."""
    is_warning: bool = False
    """Whether the job runs anyway."""

    @property
    def key(self) -> str:
        """The key of the config that the path begins with."""
        return self.path.split(".", 1)[0].split("[", 1)[0]

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def warning(path: str, message: str) -> Problem:
    return Problem(path=path, message=message, is_warning=True)


def quoted(value: Any) -> str:
    """A value as JSON, cut if it is long: every message shows values in this form."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def change_as_described(keys: Iterable[str]) -> str:
    """The remedy for problems whose messages include the correction."""
    return (
        f"change {', '.join(dict.fromkeys(keys))} as the message describes; finetune validate "
        "checks the file without a cluster"
    )


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`, did you mean X?` with the nearest known word, or empty if none is near."""
    nearest = nearest_of(word, known)
    return "" if nearest is None else f", did you mean {nearest}?"


def nearest_of(word: str, known: Collection[str]) -> str | None:
    if len(word) > _LONGEST_WORD:
        return None
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)
