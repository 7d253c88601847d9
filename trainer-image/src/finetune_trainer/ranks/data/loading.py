# SPDX-License-Identifier: Apache-2.0
"""The splits that a config names, in a format that TRL reads; one is split off if it is missing."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerate import PartialState
from datasets import Dataset, DatasetDict, IterableDatasetDict
from trl import SFTConfig

from finetune_contract.notes import Note, NoteReason, info
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.data.mixtures import load_mixture
from finetune_trainer.ranks.data.questions import NO_ROWS, Question, only_asks, questions_in
from finetune_trainer.ranks.data.shaping import Shaped, Shaping, shape_split
from finetune_trainer.ranks.data.sources import Data, DataSource, open_source
from finetune_trainer.ranks.data.workers import workers

log = logging.getLogger(__name__)

Drops = Mapping[str, Mapping[str, int]]
"""The number of rows left out, by split and reason."""

_COLUMNS_SHOWN = 5

MIXTURE_SPLITS = ("train", "test")
"""TRL's names for the splits of a mixture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The training and evaluation splits."""

    dataset: Data
    dropped: Drops = field(default_factory=dict)
    """Rows left out, most of them before the evaluation split was split off."""
    questions: tuple[Question, ...] = ()
    """Held-out prompts without an answer."""
    notes: tuple[Note, ...] = ()
    """Notes about columns that are not read, and about the chat template."""


def load_data(arguments: Arguments) -> Loaded:
    """The training split, and the evaluation split, if there is one.

    Raises:
        AttemptFailed: files, splits, columns or rows are missing; other errors are raised by the
          libraries.
    """
    shaping = Shaping(
        data=arguments.data,
        text_field=arguments.training.dataset_text_field,
        workers=workers(arguments.training.dataset_num_proc, arguments.cpus),
        wants_turns=arguments.training.chat_template_path is not None,
    )
    train, test = arguments.script.dataset_train_split, arguments.script.dataset_test_split
    questions: tuple[Question, ...] = ()
    if arguments.mixture.datasets:
        names = MIXTURE_SPLITS
        shaped = {names[0]: load_mixture(arguments.mixture, shaping)}
    else:
        names = (train, test)
        shaped, questions = _load_single(arguments, shaping)
    splits = {name: split.data for name, split in shaped.items()}
    size = arguments.mixture.test_split_size
    if size is not None:
        _require_no_split(splits, names[1])
        splits = _split_off(splits[names[0]], names, size, arguments.training)
    _require_split("dataset_train_split", train, splits)
    if arguments.training.eval_strategy != "no":
        _require_split("dataset_test_split", test, splits)
    kind = DatasetDict if isinstance(splits[names[0]], Dataset) else IterableDatasetDict
    return Loaded(
        dataset=kind(splits),
        dropped={name: split.dropped for name, split in shaped.items()},
        questions=questions,
        notes=tuple(_notes_of(shaped[names[0]].unread, arguments)),
    )


def _notes_of(unread: Sequence[str], arguments: Arguments) -> Iterator[Note]:
    if unread:
        shown = ", ".join(unread[:_COLUMNS_SHOWN])
        more = f" and {len(unread) - _COLUMNS_SHOWN} more" if len(unread) > _COLUMNS_SHOWN else ""
        yield info(
            NoteReason.NO_EFFECT,
            f"dataset_format: {arguments.data.dataset_format} does not read the "
            f"{'column' if len(unread) == 1 else 'columns'} {shown}"
            f"{more}; prompt_template and completion_template read any column",
        )


def _load_single(
    arguments: Arguments, shaping: Shaping
) -> tuple[dict[str, Shaped], tuple[Question, ...]]:
    script = arguments.script
    train, test = script.dataset_train_split, script.dataset_test_split
    source = DataSource(
        path=str(script.dataset_name),
        name=script.dataset_config,
        train_split=train,
        streaming=script.dataset_streaming,
        has_list_rows=shaping.data.dataset_format == "pairs",
    )
    found = open_source(source)
    _require_split("dataset_train_split", train, found)
    is_evaluated = arguments.training.eval_strategy != "no"
    if is_evaluated and arguments.mixture.test_split_size is None:
        _require_split("dataset_test_split", test, found)
    shaped = {train: shape_split(found[train], shaping, train)}
    if test not in found or test == train:
        return shaped, ()
    # Without a function that judges answers, an evaluation computes the loss, which needs them.
    may_ask = arguments.evaluation.metric_fn is not None or not is_evaluated
    count = arguments.evaluation.num_eval_samples if may_ask else 0
    questions = questions_in(found[test], shaping, count)
    if questions and only_asks(found[test], shaping):
        return {**shaped, test: Shaped(data=NO_ROWS)}, questions
    try:
        shaped[test] = shape_split(found[test], shaping, test)
    except AttemptFailed as failed:
        if questions and failed.failure.reason == Reason.EMPTY_DATASET:
            shaped[test] = Shaped(data=NO_ROWS)
        elif is_evaluated:
            raise
        else:
            # It would only affect the answers shown to a reader.
            log.warning("left out split=%s because=%s", test, failed)
    return shaped, questions


def _require_split(key: str, split: str, found: Mapping[str, Any]) -> None:
    if split in found:
        return
    remedy = f"set {key} to one of them"
    if key == "dataset_test_split":
        remedy = (
            "set test_split_size, e.g. to 0.1, to evaluate on a part that is split off, or "
            "eval_strategy to 'no'"
        )
        if len(found) > 1:
            remedy = f"set {key} to the one to evaluate on, {remedy.removeprefix('set ')}"
    raise attempt_failed(
        Reason.SPLIT_NOT_FOUND,
        f"{key} is {split}, but the dataset has only {', '.join(found)}",
        remedy,
    )


def _require_no_split(found: Mapping[str, Any], test: str) -> None:
    if test in found:
        raise attempt_failed(
            Reason.SPLIT_EXISTS,
            f"test_split_size is set, but the dataset already has the split {test}",
            "remove test_split_size to evaluate on that one, or set dataset_test_split to a name "
            "for the part that is split off",
        )


def _split_off(data: Dataset, names: tuple[str, str], size: float, training: SFTConfig) -> Any:
    """The same rows for the same seed, on every rank."""
    count = int(size) if size >= 1 else size
    try:
        with PartialState().main_process_first():
            parts = data.train_test_split(test_size=count, seed=training.seed)
    except ValueError:
        raise attempt_failed(
            Reason.SPLIT_TOO_LARGE,
            f"test_split_size is {count}, which leaves none of {len(data)} rows to train on",
            "lower test_split_size, or add rows",
        ) from None
    return {names[0]: parts["train"], names[1]: parts["test"]}
