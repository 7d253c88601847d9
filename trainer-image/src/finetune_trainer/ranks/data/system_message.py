# SPDX-License-Identifier: Apache-2.0
"""Puts the config's `system_message` in front of the conversations that have none."""

from collections.abc import Iterable, Mapping
from typing import Any

from accelerate import PartialState
from datasets import Dataset, DatasetDict, IterableDatasetDict

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed

COLUMNS = ("prompt", "messages", "conversations")
"""Where TRL looks for a conversation; the first that a row has counts."""

SYSTEM_ROLES = ("system", "developer")


def add_system_message(
    dataset: DatasetDict | IterableDatasetDict, message: str, splits: Iterable[str]
) -> DatasetDict | IterableDatasetDict:
    """The data set, in whose splits of these names every conversation begins with a system message.

    Raises:
        AttemptFailed: a split holds no conversations.
    """
    changed = {
        split: _add_to_split(dataset[split], message, split) for split in splits if split in dataset
    }
    return type(dataset)({**dataset, **changed})


def with_system_message(question: Any, message: str) -> Any:
    """A conversation that only asks, with the system message; a text as it is."""
    if not _is_conversation(question):
        return question
    return _begin_with_system({"prompt": question}, "prompt", message)["prompt"]


def _add_to_split(data: Any, message: str, split: str) -> Any:
    first = next(iter(data), None)
    if first is None:
        return data
    column = next((name for name in COLUMNS if name in first), None)
    if column is None or not _is_conversation(first[column]):
        raise attempt_failed(
            Reason.NOT_CONVERSATIONAL,
            f"system_message is set, and the split {split} holds no conversations: it has the "
            f"columns {', '.join(first)}",
            "leave system_message out, or give every row a column messages: a list of turns with "
            "role and content",
        )
    # The types stay as they are, also where a batch alone would let guess at others.
    options: dict[str, Any] = {"features": data.features}
    if isinstance(data, Dataset):
        options["desc"] = f"Adding the system message to {split}"
    with PartialState().main_process_first():
        return data.map(
            _begin_with_system, fn_kwargs={"column": column, "message": message}, **options
        )


def _begin_with_system(row: Mapping[str, Any], column: str, message: str) -> dict[str, Any]:
    turns = row[column]
    if not turns or turns[0].get("role", turns[0].get("from")) in SYSTEM_ROLES:
        return {column: turns}
    # What other turns have beside, such as tool calls, a column of one type wants here too.
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
