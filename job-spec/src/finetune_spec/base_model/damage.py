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


def remedy_of(damage: Damage, *, on_hub: bool) -> str:
    """Also for users who cannot change the model's files."""
    if not on_hub or damage.reason is not Reason.MODEL_DAMAGED:
        return damage.remedy
    return (
        f"{damage.remedy}; if the repository is not yours, name another model, or set "
        "model_revision to a commit without this problem"
    )


def listed(names: Collection[str]) -> str:
    """The first names, and the number of the others."""
    shown = [f"{name:.100}" for name in list(names)[:_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
