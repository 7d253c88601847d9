# SPDX-License-Identifier: Apache-2.0
"""Turns with `weight: 0` in tokenized rows: their tokens do not count for the loss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset, Json, List

from finetune_trainer.ranks.chat.rendering import closing_of, tokenizer_of
from finetune_trainer.ranks.chat.structure import conversation_of
from finetune_trainer.ranks.chat.weights import NotFound, Span, spans_of, unlearnt
from finetune_trainer.ranks.chat.writing import TemplateWriter
from finetune_trainer.ranks.data.measuring import MASKED

COLUMNS = ("messages", "conversations", "prompt", "completion")
KEY = "weight"


def has_weights(data: Any) -> bool:
    """Whether turns may have a weight; unknown for a stream whose columns have no types."""
    kinds = data.features
    if kinds is None:
        return conversation_of(next(iter(data), {})) is not None
    return any(_has_weights(data, name, kinds[name]) for name in COLUMNS if name in kinds)


def _has_weights(data: Any, name: str, kind: Any) -> bool:
    turn = getattr(kind, "feature", None)
    if isinstance(turn, Mapping):
        return KEY in turn
    is_free = isinstance(kind, Json) or (isinstance(kind, List) and isinstance(turn, Json))
    if not is_free or not isinstance(data, Dataset):
        return is_free
    spelled = data.data.column(name).combine_chunks()
    texts = spelled.flatten() if isinstance(kind, List) else spelled
    return bool(pc.any(pc.match_substring(texts.storage, f'"{KEY}"')).as_py())


class Mask:
    """Masks the tokens of turns that are not trained. A value, for the cache of `datasets`."""

    def __init__(self, processor: Any, template: str | None, *, by_answer: bool) -> None:
        self._tokenizer = tokenizer_of(processor)
        self._write = TemplateWriter(processor, template)
        self._closing = closing_of(processor).tokens
        self._by_answer = by_answer

    def __call__(self, row: Mapping[str, Any]) -> dict[str, list[int]]:
        """The labels of a tokenized row; all are masked if the turn's tokens cannot be located."""
        labels = list(row["labels"])
        spoken = {name: value for name, value in row.items() if name not in ("input_ids", "labels")}
        conversation = conversation_of(spoken)
        places = [] if conversation is None else unlearnt(conversation)
        if conversation is None or not places:
            return {"labels": labels}
        try:
            spans = spans_of(conversation, places, self._write, self._closing)
            tokens = self._tokens(self._write(conversation), row["input_ids"])
        except NotFound:
            return {"labels": [MASKED] * len(labels)}
        is_of = [
            any(begin < end and _meet(token, (begin, end)) for begin, end in spans)
            for token in tokens
        ]
        pieces = _runs(labels) if self._by_answer else [(n, n + 1) for n in range(len(labels))]
        for begin, end in pieces:
            if any(is_of[begin:end]):
                labels[begin:end] = [MASKED] * (end - begin)
        return {"labels": labels}

    def _tokens(self, text: str, ids: Sequence[int]) -> list[Span]:
        """The span of each token in the text.

        Raises:
            NotFound: they are not the tokens of this text, or the tokenizer does not provide
              offsets.
        """
        try:
            found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        except NotImplementedError:
            raise NotFound from None
        if list(found["input_ids"]) != list(ids):
            raise NotFound
        return [(int(begin), int(end)) for begin, end in found["offset_mapping"]]


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _runs(labels: Sequence[int]) -> Iterator[Span]:
    """Consecutive tokens that count: the words of one answer, if only these count."""
    begin = None
    for place, label in enumerate([*labels, MASKED]):
        if label != MASKED and begin is None:
            begin = place
        elif label == MASKED and begin is not None:
            yield begin, place
            begin = None
