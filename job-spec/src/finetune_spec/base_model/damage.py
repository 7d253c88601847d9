# SPDX-License-Identifier: Apache-2.0
"""Why the files of a model can't be trained, in the words that their user reads. No I/O here."""

from collections.abc import Collection
from dataclasses import dataclass

from finetune_contract.reasons import Reason

_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something that no key of the config but the model's name can mend."""

    reason: Reason
    message: str
    """What was found; the model's name is told behind it."""
    remedy: str


def listed(names: Collection[str]) -> str:
    """The first of them, and how many more there are."""
    shown = [f"{name:.100}" for name in list(names)[:_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
