# SPDX-License-Identifier: Apache-2.0
"""Why the files of a model cannot be trained, as messages for users. No I/O here."""

from collections.abc import Collection
from dataclasses import dataclass

from finetune_contract.reasons import Reason

_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A problem that only another model name in the config can fix."""

    reason: Reason
    message: str
    """The problem; the model's name is appended to it."""
    remedy: str


def listed(names: Collection[str]) -> str:
    """The first names, and the number of the others."""
    shown = [f"{name:.100}" for name in list(names)[:_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
