# SPDX-License-Identifier: Apache-2.0
"""Adds the config's `system_message` to conversations without one, and merges system messages into
the user's first turn for `merge_system_message`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accelerate import PartialState
from datasets import Dataset, DatasetDict, IterableDatasetDict

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed

COLUMNS = ("prompt", "messages", "conversations")
"""The columns in which TRL looks for a conversation; the first that a row has counts."""

SYSTEM_ROLES = ("system", "developer")
_USER_ROLES = ("user", "human")
_BETWEEN = "\n\n"


def add_system_message(
    dataset: DatasetDict | IterableDatasetDict, message: str, splits: Iterable[str]
) -> DatasetDict | IterableDatasetDict:
    """The dataset, with a system message at the start of every conversation in these splits.

    Raises:
        AttemptFailed: a split contains no conversations.
    """
    changed = {
        split: _add_to_split(dataset[split], message, split) for split in splits if split in dataset
    }
    return type(dataset)({**dataset, **changed})


def with_system_message(question: Any, message: str) -> Any:
    """A question in the form of a conversation, with the system message; a text is unchanged."""
    if not _is_conversation(question):
        return question
    return _begin_with_system({"prompt": question}, "prompt", message)["prompt"]


def merge_in_question(question: Any) -> Any:
    """A question in the form of a conversation, merged in the same way; a text is unchanged."""
    return merged(question) if _is_conversation(question) else question


def _add_to_split(data: Any, message: str, split: str) -> Any:
    first = next(iter(data), None)
    if first is None:
        return data
    column = _spoken_column(first)
    if column is None:
        raise attempt_failed(
            Reason.NOT_CONVERSATIONAL,
            f"system_message is set, but the split {split} contains no conversations: it has the "
            f"columns {', '.join(first)}",
            "leave system_message out, or give every row a column messages: a list of turns with "
            "role and content",
        )
    return _map(data, _begin_with_system, {"column": column, "message": message}, split)


def merge_system_messages(
    dataset: DatasetDict | IterableDatasetDict,
) -> DatasetDict | IterableDatasetDict:
    """The dataset with system messages merged into the user's first turn.

    Splits without conversations are unchanged.
    """
    return type(dataset)({split: _merge_in_split(data, split) for split, data in dataset.items()})


def _merge_in_split(data: Any, split: str) -> Any:
    first = next(iter(data), None)
    column = None if first is None else _spoken_column(first)
    return data if column is None else _map(data, _merge_in_row, {"column": column}, split)


def _map(data: Any, change: Any, given: Mapping[str, Any], split: str) -> Any:
    # The types stay the same, even if a batch alone would suggest others.
    options: dict[str, Any] = {"features": data.features}
    if isinstance(data, Dataset):
        options["desc"] = f"Placing system messages in {split}"
    with PartialState().main_process_first():
        return data.map(change, fn_kwargs=given, **options)


def _merge_in_row(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    return {column: merged(row[column])}


def merged(turns: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The turns, with the system messages before the text of the user's first turn.

    A conversation without a user's turn gets one that contains them.
    """
    head = 0
    while head < len(turns) and _speaker(turns[head]) in SYSTEM_ROLES:
        head += 1
    if not head:
        return list(turns)
    rest = [dict(turn) for turn in turns[head:]]
    place = next((n for n, turn in enumerate(rest) if _speaker(turn) in _USER_ROLES), None)
    is_of_values = "from" in turns[0]
    role, content = ("from", "value") if is_of_values else ("role", "content")
    if place is None:
        rest.insert(0, {**turns[0], role: _USER_ROLES[is_of_values], content: None})
        place = 0
    said = [turn.get(content) for turn in (*turns[:head], rest[place])]
    rest[place][content] = _together([each for each in said if each])
    return rest


def _together(contents: Sequence[Any]) -> Any:
    """Texts as one text; if there are parts among them, as parts."""
    if not any(isinstance(content, list) for content in contents):
        return _BETWEEN.join(contents)
    like = next(part for content in contents if isinstance(content, list) for part in content)
    parts: list[Any] = []
    for content in contents:
        if parts:
            parts.append(dict.fromkeys(like) | {"type": "text", "text": _BETWEEN})
        is_text = isinstance(content, str)
        parts += [dict.fromkeys(like) | {"type": "text", "text": content}] if is_text else content
    return parts


def _speaker(turn: Mapping[str, Any]) -> Any:
    return turn.get("role", turn.get("from"))


def _spoken_column(row: Mapping[str, Any]) -> str | None:
    column = next((name for name in COLUMNS if name in row), None)
    return column if column is not None and _is_conversation(row[column]) else None


def _begin_with_system(row: Mapping[str, Any], column: str, message: str) -> dict[str, Any]:
    turns = row[column]
    if not turns or turns[0].get("role", turns[0].get("from")) in SYSTEM_ROLES:
        return {column: turns}
    # Other keys of the other turns, such as tool calls, are required here too in a column of one
    # type.
    system = dict.fromkeys(turns[0])
    if "from" in turns[0]:
        return {column: [system | {"from": "system", "value": message}, *turns]}
    content: Any = message
    if isinstance(blocks := turns[0].get("content"), list):
        content = [dict.fromkeys(blocks[0] if blocks else ()) | {"type": "text", "text": message}]
    return {column: [system | {"role": "system", "content": content}, *turns]}


def _is_conversation(turns: Any) -> bool:
    return (
        isinstance(turns, list)
        and bool(turns)
        and isinstance(turns[0], Mapping)
        and ("role" in turns[0] or "from" in turns[0])
    )
