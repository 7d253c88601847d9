# SPDX-License-Identifier: Apache-2.0
"""Checks which rows the chat template can render, and which parts it omits, before a model loads.

One row of each structure is tested, the most frequent ones first. Rows that cannot be rendered are
left out and counted; in a stream they are left out on the fly.
"""

import copy
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset, Features, Value

from finetune_contract.notes import Note, NoteReason, info
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.chat import is_chat
from finetune_trainer.ranks.chat.losses import Losses
from finetune_trainer.ranks.chat.rendering import tokenizer_of
from finetune_trainer.ranks.chat.structure import conversation_of, digest_of
from finetune_trainer.ranks.chat.template import settle_template
from finetune_trainer.ranks.chat.trial import Template, TrialResult
from finetune_trainer.ranks.chat.writing import template_of
from finetune_trainer.ranks.data.beginnings import begin_once
from finetune_trainer.ranks.data.loading import Loaded
from finetune_trainer.ranks.data.refusals import Refusals

log = logging.getLogger(__name__)

MOST_STRUCTURES = 1000
"""Structures tested per split: hostile data may have one for each row. A test takes about a
millisecond.
"""
MOST_OF_STREAM = 100
"""Rows of a stream that are tested before training."""

_SEEN = ("messages", "conversations", "prompt", "completion", "tools", "chat_template_kwargs")
_DIGEST = "digest"


def fit_to_template(loaded: Loaded, arguments: Arguments, processor: Any) -> Loaded:
    """The data without rows that the chat template cannot render, with notes on the others.

    Raises:
        AttemptFailed: it can render none, or could not be trained with.
    """
    training = copy.copy(arguments.training)
    train = arguments.script.dataset_train_split
    row: Mapping[str, Any] = next(iter(loaded.dataset[train]), {})
    added = arguments.tuning.added_tokens or ()
    source = settle_template(processor, training, row, added)
    if not is_chat(row):
        tokenizer, text_field = tokenizer_of(processor), training.dataset_text_field
        begun = {
            name: begin_once(data, tokenizer, text_field) for name, data in loaded.dataset.items()
        }
        return replace(loaded, dataset=type(loaded.dataset)(begun))
    if conversation_of(row) is None:
        return loaded
    template = template_of(source, marks_answers=bool(training.assistant_only_loss))
    drawn = arguments.mixture.test_split_size is not None
    splits, dropped, notes = {}, dict(loaded.dropped), list(loaded.notes)
    for name, data in loaded.dataset.items():
        try:
            # Otherwise a row's number would differ from its number in the file.
            are_numbered = not (loaded.dropped.get(name) or arguments.mixture.datasets or drawn)
            fitted = fit_split(data, template, name, are_numbered=are_numbered)
        except AttemptFailed as failed:
            if name == train or training.eval_strategy != "no":
                raise
            # It would only affect the answers shown to a reader.
            log.warning("left out split=%s because=%s", name, failed)
            continue
        splits[name] = fitted.data
        dropped[name] = dict(Counter(dropped.get(name, {})) + Counter(fitted.dropped))
        notes += [note for note in fitted.notes if name == train or _is_of_rows(note)]
    kept = type(loaded.dataset)(splits)
    return replace(loaded, dataset=kept, dropped=dropped, notes=tuple(notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A split whose rows can all be rendered, as far as tested."""

    data: Any
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


def fit_split(data: Any, template: Template, split: str, *, are_numbered: bool = True) -> Fitted:
    """
    Raises:
        AttemptFailed: no row can be rendered.
    """
    if not isinstance(data, Dataset):
        return _fit_stream(data, template, split)
    digests = _digests(data, split)
    _, firsts, kinds, counts = np.unique(
        digests, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((firsts, -counts))
    refusals, losses = Refusals(are_numbered=are_numbered), Losses(split=split, rows=len(data))
    refused = []
    for kind in order[:MOST_STRUCTURES]:
        first, rows = int(firsts[kind]), int(counts[kind])
        result = _try_row(data[first], template)
        if result.refusal is None:
            losses.note(result, rows)
        else:
            refused.append(kind)
            refusals.note(result.refusal, rows, first)
    if len(refused) == len(counts):
        raise refusals.failure(split)
    notes = [*refusals.notes(split), *losses.notes()]
    if untried := int(counts[order[MOST_STRUCTURES:]].sum()):
        notes.append(_untried(split, untried))
    if refused:
        data = data.select((~np.isin(kinds, refused)).nonzero()[0])
    return Fitted(data=data, dropped=refusals.dropped(), notes=tuple(notes))


def _digests(data: Dataset, split: str) -> Any:
    """The structure of each row, as a number."""
    seen = data.select_columns([name for name in _SEEN if name in data.column_names])
    with PartialState().main_process_first():
        found = seen.map(
            _digest,
            remove_columns=seen.column_names,
            features=Features({_DIGEST: Value("int64")}),
            desc=f"Comparing rows of {split}",
        )
    return found.data.column(_DIGEST).to_numpy()


def _digest(row: Mapping[str, Any]) -> dict[str, int]:
    conversation = conversation_of(row)
    return {_DIGEST: 0 if conversation is None else digest_of(conversation)}


def _try_row(row: Mapping[str, Any], template: Template) -> TrialResult:
    conversation = conversation_of(row)
    return TrialResult() if conversation is None else template.try_on(conversation)


class _Fits:
    """Whether a row of a stream can be rendered; each worker has its own, with a cache."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._known: dict[int, bool] = {}

    def __call__(self, row: Mapping[str, Any]) -> bool:
        digest = _digest(row)[_DIGEST]
        if digest not in self._known:
            if len(self._known) >= MOST_STRUCTURES:
                return True
            self._known[digest] = _try_row(row, self._template).refusal is None
        return self._known[digest]


def _fit_stream(data: Any, template: Template, split: str) -> Fitted:
    rows = list(islice(data, MOST_OF_STREAM))
    refusals = Refusals(are_numbered=True)
    losses = Losses(split=f"the beginning of {split}", rows=len(rows))
    known: dict[int, TrialResult] = {}
    fitting = 0
    for place, row in enumerate(rows):
        digest = _digest(row)[_DIGEST]
        if digest not in known:
            known[digest] = _try_row(row, template)
        result = known[digest]
        if result.refusal is None:
            fitting += 1
            losses.note(result, 1)
        else:
            refusals.note(result.refusal, 1, place)
    if rows and not fitting:
        raise refusals.failure(split)
    notes = (*refusals.notes(split), *losses.notes())
    return Fitted(data=data.filter(_Fits(template)), notes=notes)


def _untried(split: str, rows: int) -> Note:
    return info(
        NoteReason.NOT_KNOWN,
        f"{rows} rows of {split} were not checked with the chat template: only rows of the "
        f"{MOST_STRUCTURES} most frequent conversation structures are",
    )


def _is_of_rows(note: Note) -> bool:
    """Whether a note is about rows that are left out, which is also relevant for evaluation
    rows.
    """
    return note.reason != NoteReason.TEMPLATE_LEAVES_OUT and note.reason != NoteReason.NO_EFFECT
