# SPDX-License-Identifier: Apache-2.0
"""Notes about extras. No I/O here.

The artifact is already complete, so these are notes: the run succeeds without the extra.
"""

from finetune_contract.limits import MAX_NOTE_TEXT
from finetune_contract.notes import Note, NoteReason, info, warning

_NOT_MERGED = "not merged: "
_AGAIN = "; the same job, run again, does not train but only merges"


def not_merged(why: str) -> Note:
    """There is no merged model; the remedy is kept however long the reason is."""
    room = MAX_NOTE_TEXT - len(_NOT_MERGED) - len(_AGAIN)
    short = why if len(why) <= room else f"{why[: room - 1]}…"
    return warning(NoteReason.EXTRA_MISSING, f"{_NOT_MERGED}{short}{_AGAIN}")


def merged(how: str) -> Note:
    """There is a merged model, with its properties."""
    return info(NoteReason.EXTRA_MADE, f"merged {how}")
