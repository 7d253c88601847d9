# SPDX-License-Identifier: Apache-2.0
"""TRL's trainer, which here leaves out rows without a trained token, and counts them.

TRL tokenizes, cuts and packs in one pass without a report. Here it takes two passes: tokenized rows
are measured before they are cut and packed. Every row that both keep is the same, and in the same
order.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate import PartialState
from datasets import Dataset, IterableDataset
from jinja2 import TemplateError
from trl import SFTConfig, SFTTrainer

from finetune_trainer.exchange.data_account import Dropped, Packing, SplitAccount
from finetune_trainer.ranks.data import measuring, unlearnt
from finetune_trainer.ranks.data.masking import marks_are_empty, nothing_counts, nothing_is_answered
from finetune_trainer.ranks.data.measuring import MASKED, Cut, Measured
from finetune_trainer.ranks.data.refusals import refused
from finetune_trainer.ranks.data.workers import workers

STREAM = "a stream: its rows are unknown until they are read"
NOT_PREPARED = "not tokenized before training: images, or data that TRL must leave unchanged"
CUTTING_STRATEGY = "bfd"
"""The packing strategy that cuts long rows; the others split them."""


class AccountingTrainer(SFTTrainer):
    """An `SFTTrainer` with an account of each split: `train`, `eval`."""

    def __init__(self, *args: Any, cpus: int = 1, **options: Any) -> None:
        self.accounts: dict[str, SplitAccount] = {}
        self._cpus = cpus
        super().__init__(*args, **options)
        for name, data in {"train": self.train_dataset, "eval": self.eval_dataset}.items():
            if data is not None and name not in self.accounts:
                self.accounts[name] = _unprepared(data)

    def _prepare_dataset(
        self,
        dataset: Dataset | IterableDataset,
        processing_class: Any,
        args: SFTConfig,
        packing: bool,
        formatting_func: Any,
        dataset_name: str,
    ) -> Dataset | IterableDataset:
        def prepare(data: Any, options: SFTConfig, *, packs: bool) -> Any:
            if isinstance(data, Dataset) and not packs:
                # Packs are built from this many rows at a time: their contents would depend on
                # where another process begins.
                options = copy.copy(options)
                options.dataset_num_proc = workers(args.dataset_num_proc, self._cpus)(len(data))
            return super(AccountingTrainer, self)._prepare_dataset(
                data, processing_class, options, packs, formatting_func, dataset_name
            )

        def tokenize(data: Any) -> Any:
            weighs = unlearnt.has_weights(data)
            tokenized = prepare(data, _uncut(args), packs=False)
            return (
                self._without_unlearnt(tokenized, processing_class, args) if weighs else tokenized
            )

        cut = _cut_of(args, packing=packing)
        if not isinstance(dataset, Dataset):
            self.accounts.setdefault(dataset_name, SplitAccount(note=STREAM))
            if packing or unlearnt.has_weights(dataset):
                # Otherwise TRL leaves them out by itself.
                dataset = _only_useful(tokenize(dataset), cut)
            return prepare(dataset, args, packs=packing)
        rows = len(dataset)
        if not rows:  # All rows were questions without an answer.
            self.accounts.setdefault(dataset_name, SplitAccount(rows=0))
            return dataset
        with _in_a_sentence():
            answered = _with_answers(dataset) if args.assistant_only_loss else dataset
            tokenized = tokenize(answered)
        measured = measuring.measure(tokenized, cut)
        if not measured.is_useful.any():
            raise nothing_counts(dataset_name, measured, args)
        useful = _only(tokenized, measured.is_useful)
        # If nothing is cut, another pass over each row would change nothing.
        final = args if packing or measured.is_cut else _uncut(args, shuffles=args.shuffle_dataset)
        prepared = prepare(useful, final, packs=packing)
        account = _account(rows, measured, prepared if packing else None, args)
        self.accounts.setdefault(dataset_name, account)
        return prepared

    def _without_unlearnt(self, tokenized: Any, processor: Any, args: SFTConfig) -> Any:
        mask = unlearnt.Mask(processor, self.chat_template, by_answer=args.assistant_only_loss)
        if not isinstance(tokenized, Dataset):
            return tokenized.map(mask)
        with PartialState().main_process_first():
            return tokenized.map(
                mask, num_proc=args.dataset_num_proc, desc="Masking turns of weight 0"
            )


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    """TRL fails at the first conversation without an assistant turn, or one that the chat
    template refuses: not all of too many structures are tested before.
    """
    try:
        yield
    except TemplateError as error:
        raise refused(str(error)) from None
    except RuntimeError as error:
        if "no assistant tokens" not in str(error):
            raise
        raise marks_are_empty() from None


def _only(dataset: Dataset, is_wanted: Any) -> Dataset:
    return dataset if is_wanted.all() else dataset.select(is_wanted.nonzero()[0])


def _unprepared(data: Any) -> SplitAccount:
    if not isinstance(data, Dataset):
        return SplitAccount(note=STREAM)
    if "labels" not in data.column_names:
        return SplitAccount(rows=len(data), note=NOT_PREPARED)
    measured = measuring.measure(data, None)
    return SplitAccount(
        rows=len(data),
        tokens=int(measured.lengths.sum()),
        trained_tokens=int(measured.trained.sum()),
        lengths=measured.histogram(),
        note=NOT_PREPARED,
    )


def _uncut(args: SFTConfig, *, shuffles: bool = False) -> SFTConfig:
    uncut = copy.copy(args)
    uncut.max_length = None
    uncut.shuffle_dataset = shuffles
    return uncut


def _cut_of(args: SFTConfig, *, packing: bool) -> Cut | None:
    if args.max_length is None or (packing and args.packing_strategy != CUTTING_STRATEGY):
        return None
    # Packing cuts the end, whatever truncation_mode is.
    from_end = args.truncation_mode == "keep_end" and not packing
    return Cut(max_length=args.max_length, is_from_end=from_end)


def _only_useful(stream: IterableDataset, cut: Cut | None) -> IterableDataset:
    longest = None if cut is None else cut.max_length
    return stream.filter(lambda row: any(label != MASKED for label in row["labels"][1:longest]))


def _with_answers(dataset: Dataset) -> Dataset:
    """Without conversations in which the assistant has no turn: TRL would fail at one."""
    columns = [
        name
        for name in ("messages", "prompt", "completion")
        if name in dataset.column_names and _has_roles(dataset.features[name])
    ]
    if not columns:
        return dataset
    has_answer = measuring.has_assistant_turn(dataset, columns)
    if not has_answer.any():
        raise nothing_is_answered()
    return _only(dataset, has_answer)


def _has_roles(feature: Any) -> bool:
    turn = getattr(feature, "feature", feature[0] if isinstance(feature, list) else None)
    return isinstance(turn, dict) and "role" in turn


def _account(rows: int, measured: Measured, packs: Dataset | None, args: SFTConfig) -> SplitAccount:
    is_useful = measured.is_useful
    lengths, kept = measured.lengths[is_useful], measured.kept[is_useful]
    dropped = measured.drops()
    if without_answer := rows - len(measured.lengths):
        reason = Dropped.ALL_MASKED.value
        dropped[reason] = dropped.get(reason, 0) + without_answer
    tokens, trained = int(kept.sum()), int(measured.trained.sum())
    packing = None
    if packs is not None:
        tokens, trained = measuring.count_in_packs(packs)
        space = len(packs) * int(args.max_length or 1)
        packing = Packing(packs=len(packs), efficiency=round(tokens / space, 4))
    return SplitAccount(
        rows=rows,
        dropped=dropped,
        truncated=int((kept < lengths).sum()),
        answers_cut=int((measured.trained < measured.trained_uncut)[is_useful].sum()),
        tokens_cut=int((lengths - kept).sum()),
        tokens=tokens,
        trained_tokens=trained,
        lengths=measured.histogram(),
        packing=packing,
    )
