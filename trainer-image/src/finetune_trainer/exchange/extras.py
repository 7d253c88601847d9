# SPDX-License-Identifier: Apache-2.0
"""What is told of a thing that was asked for besides the artifact. No I/O here.

The artifact is complete by then, so it is a note: the run is a success without that thing.
"""

from finetune_contract.limits import MAX_NOTE_TEXT
from finetune_contract.notes import Note, NoteReason, info, warning

_NOT_MERGED = "not merged: "
_AGAIN = "; the same job, run again, does not train but only merges"


def not_merged(why: str) -> Note:
    """That there is no merged model; what to do about it is told however long the reason is."""
    room = MAX_NOTE_TEXT - len(_NOT_MERGED) - len(_AGAIN)
    short = why if len(why) <= room else f"{why[: room - 1]}…"
    return warning(NoteReason.EXTRA_MISSING, f"{_NOT_MERGED}{short}{_AGAIN}")


def merged(how: str) -> Note:
    """That there is one, and what is to be known of it."""
    return info(NoteReason.EXTRA_MADE, f"merged {how}")
