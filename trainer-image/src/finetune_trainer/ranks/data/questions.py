# SPDX-License-Identifier: Apache-2.0
"""Held-out rows without an answer: the model answers them, and there is no loss to compute.

trlX's `eval_prompts` are such rows. TRL cannot read them, so they are removed first.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from datasets import Dataset

from finetune_spec.config.parse.data_formats import columns_of_template
from finetune_trainer.ranks.data.shapes import ASSISTANT
from finetune_trainer.ranks.data.shaping import WHY, Rows, Shaping, declared

Question: TypeAlias = str | list[Any]
"""A text, or the turns of a conversation."""

NO_ROWS = Dataset.from_dict({"input_ids": [], "labels": []})
"""The remaining rows for the loss, if all rows of a split are questions."""

_ANSWERS = {"alpaca": "output", "question_answer": "answer", None: "completion"}
"""The column with the answer, by `dataset_format`; other formats have both in one column."""

_PLACEHOLDER = "."


def questions_in(data: Any, shaping: Shaping, count: int) -> tuple[Question, ...]:
    """The questions without an answer in the first rows, up to `count`."""
    first: Mapping[str, Any] = next(iter(data), {})
    answers = answer_columns(shaping)
    if not first or not answers:
        return ()
    rows = _rows(shaping, {**first, **dict.fromkeys(answers)})
    if rows is None:
        return ()
    return tuple(_asked(islice(data, count), rows, answers))


def only_asks(data: Any, shaping: Shaping) -> bool:
    """Whether no row of a split can have an answer."""
    names: Iterable[str] = data.column_names or next(iter(data), {})
    return not set(answer_columns(shaping)) & set(names)


def answer_columns(shaping: Shaping) -> tuple[str, ...]:
    """The columns of the data that belong to the answer."""
    given, mapping = shaping.data, shaping.columns
    if given.prompt_template and given.completion_template:
        asked = columns_of_template(given.prompt_template)
        named = columns_of_template(given.completion_template)
        targets = tuple(name for name in named if name not in asked)
    else:
        column = _ANSWERS.get(given.dataset_format)
        targets = () if column is None else (column,)
    return tuple(mapping.get(name, name) for name in targets)


def _rows(shaping: Shaping, first: Mapping[str, Any]) -> Rows | None:
    """The handling of such rows; None if they are not questions."""
    if shaping.is_declared:
        return declared(shaping, first)
    if first.get("prompt") is None:
        return None
    return Rows(taken={name: name for name in first}, text_field=shaping.text_field)


def _asked(
    data: Iterator[Mapping[str, Any]], rows: Rows, answers: tuple[str, ...]
) -> Iterator[Question]:
    for row in data:
        if any(_says_something(row.get(name)) for name in answers):
            continue
        shaped = rows({**row, **dict.fromkeys(answers, _PLACEHOLDER)})
        if shaped[WHY] is not None:
            continue
        turns = shaped.get("messages")
        if isinstance(turns, list) and turns and turns[-1].get("role") == ASSISTANT:
            yield turns[:-1]
        elif isinstance(prompt := shaped.get("prompt"), str | list) and prompt:
            yield prompt


def _says_something(value: Any) -> bool:
    return bool(value.strip() if isinstance(value, str) else value)
