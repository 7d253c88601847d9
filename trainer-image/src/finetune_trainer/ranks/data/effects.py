# SPDX-License-Identifier: Apache-2.0
"""Keys of the config, and of the data, without effect on the training. Pure.

Each rule reads the first row and the config, and returns a sentence, or an empty string.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from finetune_contract.notes import Note, NoteReason, warning
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.data.shapes import SPOKEN, Row


def notes_of(row: Row, arguments: Arguments, *, is_chat: bool) -> Iterator[Note]:
    """Keys without effect, one note each."""
    for rule in _RULES:
        if found := rule(row, arguments, is_chat):
            yield warning(NoteReason.NO_EFFECT, found)


def _weights_of_turns(row: Row, arguments: Arguments, is_chat: bool) -> str:
    if "image" not in row and "images" not in row:
        return ""  # They are masked there.
    spoken = (row[name] for name in SPOKEN if isinstance(row.get(name), list))
    turns: Sequence[Any] = next(spoken, ())
    if not any(isinstance(turn, Mapping) and turn.get("weight") is not None for turn in turns):
        return ""
    return (
        "the key weight of turns has no effect together with images: answers of weight 0 are "
        "trained on like all others; remove them from the data, or end the conversation before "
        "them"
    )


def _template_without_turns(row: Row, arguments: Arguments, is_chat: bool) -> str:
    if is_chat or arguments.training.chat_template_path is None:
        return ""
    return (
        "chat_template_path has no effect on what is trained: the data contains texts, not "
        "conversations"
    )


def _merges_no_turns(row: Row, arguments: Arguments, is_chat: bool) -> str:
    if is_chat or not arguments.data.merge_system_message:
        return ""
    return "merge_system_message has no effect: the data contains texts, not conversations"


def _text_field_unread(row: Row, arguments: Arguments, is_chat: bool) -> str:
    name = arguments.training.dataset_text_field
    read = next((other for other in ("input_ids", *SPOKEN) if other in row), None)
    if name == "text" or read is None:
        return ""
    return f"dataset_text_field ({name}) has no effect: the data has {read}, which is trained on"


_RULES: tuple[Callable[[Row, Arguments, bool], str], ...] = (
    _weights_of_turns,
    _template_without_turns,
    _merges_no_turns,
    _text_field_unread,
)
