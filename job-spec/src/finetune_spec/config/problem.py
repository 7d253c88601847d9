# SPDX-License-Identifier: Apache-2.0
"""What a check says about a config, in the words that its user reads. No I/O here."""

import difflib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

_LONGEST_VALUE = 60


_LONGEST_WORD = 200
"""Characters of a word that may be a misspelt one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one place of a config, in one sentence."""

    path: str
    """The place as its user wrote it, such as `learning_rte` or `datasets[0].path`."""
    message: str
    """What was found, what was expected and the nearest right thing; without the path."""
    is_warning: bool = False
    """Whether the job runs all the same."""

    @property
    def key(self) -> str:
        """The key of the config that the path begins with."""
        return self.path.split(".", 1)[0].split("[", 1)[0]

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def warning(path: str, message: str) -> Problem:
    return Problem(path=path, message=message, is_warning=True)


def quoted(value: Any) -> str:
    """A value as JSON, cut where it is long: how every message shows what was found."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`, did you mean X?` with the nearest known word, or nothing where none is near."""
    if len(word) > _LONGEST_WORD:
        return ""
    nearest = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {nearest[0]}?" if nearest else ""
