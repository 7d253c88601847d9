# SPDX-License-Identifier: Apache-2.0
"""Texts that already begin with the tokenizer's BOS: one BOS is enough.

Texts rendered by a chat template have it; TRL would train on two.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc
from accelerate import PartialState
from datasets import Dataset, Value

_TEXTS = ("string", "large_string")


def begin_once(data: Any, tokenizer: Any, text_field: str) -> Any:
    """The split without the BOS in texts whose tokenizer adds it."""
    column = "prompt" if "prompt" in (data.column_names or ()) else text_field
    kind = (data.features or {}).get(column)
    if not (isinstance(kind, Value) and kind.dtype in _TEXTS and adds_beginning(tokenizer)):
        return data
    token = str(tokenizer.bos_token)
    if isinstance(data, Dataset) and not _any_begins(data, column, token):
        return data
    given = {"column": column, "token": token}
    with PartialState().main_process_first():
        return data.map(_without_beginning, fn_kwargs=given, features=data.features)


def adds_beginning(tokenizer: Any) -> bool:
    """Whether the tokenizer adds its BOS before a text."""
    bos = tokenizer.bos_token_id
    return bos is not None and list(tokenizer("a")["input_ids"][:1]) == [bos]


def _any_begins(data: Dataset, column: str, token: str) -> bool:
    return bool(pc.any(pc.starts_with(data.data.column(column), token)).as_py())


def _without_beginning(row: Mapping[str, Any], column: str, token: str) -> dict[str, Any]:
    text = row[column]
    return {column: text.removeprefix(token) if isinstance(text, str) else text}
