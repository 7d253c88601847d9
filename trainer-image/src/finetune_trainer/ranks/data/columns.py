# SPDX-License-Identifier: Apache-2.0
"""The columns of the data, the required ones, and the key that maps one to the other.

Pure: names and one row in, a failure out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.config.parse.data_formats import FORMATS, columns_of_template
from finetune_spec.config.problem import nearest_of
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.arguments.data import DataArguments
from finetune_trainer.ranks.data.proposals import named, proposal
from finetune_trainer.ranks.data.shapes import ASSISTANT, SYSTEM, TOOL, USER

_TEXTS_OF_ARROW = ("string", "large_string", "string_view", "null")
_WHOLE_NUMBERS = ("int", "uint")
"""The only other values than texts that have a single notation."""

_SPEAKERS = (USER, ASSISTANT, SYSTEM, TOOL, "developer")


def require_declared(
    columns: Sequence[str], data: DataArguments, mapping: Mapping[str, str]
) -> None:
    """
    Raises:
        AttemptFailed: a column that the config names does not exist.
    """
    for target, source in mapping.items():
        if source not in columns:
            key = f"dataset_columns.{target}"
            raise _missing(f"{key} is {source}", source, columns, key)
    known = {*columns, *mapping}
    if data.dataset_format is not None:
        for column in FORMATS[data.dataset_format].needed:
            if column not in known and not _is_single_pair(column, columns):
                raise _missing(f"dataset_format is {data.dataset_format}", column, columns)
    for key in ("prompt_template", "completion_template"):
        for column in columns_of_template(getattr(data, key) or ""):
            if column not in known:
                raise _missing(f"{key} has {{{column}}}", column, columns, key)
    if data.prompt_template and not data.completion_template and "completion" not in known:
        raise _missing("prompt_template is set without completion_template", "completion", columns)


def require_readable(row: Mapping[str, Any], text_field: str) -> None:
    """Requires that TRL can read a row unchanged; `row` is the first one.

    Raises:
        AttemptFailed: it cannot; the remedy names the key that maps it.
    """
    columns = list(row)
    if "input_ids" in columns:
        return
    for name in ("messages", "conversations"):
        if row.get(name) is not None and not isinstance(row[name], list):
            raise attempt_failed(
                Reason.INVALID_DATASET,
                f"{name} of the first row is not a list: expected turns with role and content",
                f"give {name} as a list, not as a string",
            )
    if speaker := _unknown_speaker(row):
        raise attempt_failed(
            Reason.UNKNOWN_ROLE,
            f"the turns of conversations are from {speaker}, which no chat template supports",
            "set dataset_format: sharegpt",
        )
    if "prompt" in columns and "completion" not in columns:
        other = next((name for name in ("messages", text_field) if name in columns), None)
        remedy = f"set dataset_columns: {{{other}: {other}}}, which leaves the prompt out"
        if other is None:
            remedy = proposal(row, text_field)
        raise attempt_failed(
            Reason.DATASET_COLUMN_MISSING,
            f"the dataset has the columns {', '.join(columns)}: TRL reads prompt with completion",
            remedy,
        )
    if {"messages", "conversations", "prompt", text_field} & set(columns):
        return
    raise attempt_failed(
        Reason.DATASET_COLUMN_MISSING,
        f"the dataset has the columns {', '.join(columns)}; TRL trains on messages, on prompt "
        f"and completion, or on {text_field}{_maybe_no_header(columns)}",
        proposal(row, text_field),
    )


def require_texts(types: Mapping[str, str], split: str) -> None:
    """Requires that trained columns can be texts; `types` has those with one type each.

    Raises:
        AttemptFailed: one has values with several notations, or with none.
    """
    for name, kind in types.items():
        if kind in _TEXTS_OF_ARROW or kind.startswith(_WHOLE_NUMBERS):
            continue
        raise attempt_failed(
            Reason.INVALID_DATASET,
            f"the column {name} of {split} is of the type {kind}, expected a string: the file "
            "contains no text to train on",
            f"write {name} as text into the file",
        )


def _unknown_speaker(row: Mapping[str, Any]) -> str:
    """An unknown role in the first conversation, which TRL would accept."""
    turns = row.get("conversations")
    if not isinstance(turns, list):
        return ""
    said = [turn.get("from") for turn in turns if isinstance(turn, Mapping) and "from" in turn]
    return next((str(speaker) for speaker in said if speaker not in _SPEAKERS), "")


def _missing(
    where: str, column: str, columns: Sequence[str], asked_for: str | None = None
) -> AttemptFailed:
    nearest = nearest_of(column, columns)
    if nearest is not None and asked_for is not None:
        remedy = f"write {nearest} in {asked_for}"
    elif (alias := named(column, columns)) is not None:
        remedy = f"set dataset_columns: {{{column}: {alias}}}"
    elif asked_for is None:
        remedy = f"set dataset_columns: {{{column}: ...}} to the intended column"
    else:
        remedy = f"name one of its columns in {asked_for}"
    return attempt_failed(
        Reason.DATASET_COLUMN_MISSING,
        f"{where}, but the dataset has no column {column}: it has "
        f"{', '.join(columns)}{_maybe_no_header(columns)}",
        remedy,
    )


def _is_single_pair(column: str, columns: Sequence[str]) -> bool:
    return column == "pair" and len(columns) == 1


def _maybe_no_header(columns: Sequence[str]) -> str:
    """Names that look like values come from a table without a header."""
    is_value = any(len(name.split()) > 3 or name.endswith((".", "?", "!")) for name in columns)
    return " (is that its first row? A CSV file needs a header)" if is_value else ""
