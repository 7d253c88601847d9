# SPDX-License-Identifier: Apache-2.0
"""Reports the account of the rows: a file for the report, log lines, the outcome's figures."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from finetune_contract.notes import Note, NoteReason, info
from finetune_contract.reasons import Reason
from finetune_trainer.exchange.data_account import (
    DataAccount,
    Dropped,
    SplitAccount,
    describe,
    notes_of,
    warnings_of,
)
from finetune_trainer.exchange.padding import advise_on_padding
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.data.masking import REMEDIES

log = logging.getLogger(__name__)

Drops = Mapping[str, Mapping[str, int]]
"""Split -> reason -> rows that were left out while shaping the data."""


def account_for(
    accounts: Mapping[str, SplitAccount], shaping: Drops, arguments: Arguments
) -> DataAccount:
    """The account of both splits, by their names in the data.

    `accounts` has them by TRL's names, and does not include rows left out before.
    """
    script, training = arguments.script, arguments.training
    names = {"train": script.dataset_train_split, "eval": script.dataset_test_split}
    splits = {
        names[name]: _with_shaping(account, shaping.get(names[name], {}))
        for name, account in accounts.items()
        if name in names
    }
    warnings = [
        warning
        for name, account in splits.items()
        for warning in warnings_of(name, account, training.max_length)
    ]
    return DataAccount(splits=splits, warnings=tuple(warnings))


def tell(account: DataAccount, workspace: Workspace) -> None:
    """Runs on one rank of all."""
    for name, split in account.splits.items():
        log.info("data %s", describe(name, split))
    for warning in account.warnings:
        log.warning(warning)
    write_atomically(workspace.data_account, account.to_json())


def notes(account: DataAccount, arguments: Arguments) -> list[Note]:
    """Notes about the rows for users."""
    length = arguments.training.max_length
    told = [
        note for name, split in account.splits.items() for note in notes_of(name, split, length)
    ]
    return [*told, *_notes_of_padding(account, arguments)]


def _notes_of_padding(account: DataAccount, arguments: Arguments) -> list[Note]:
    training = arguments.training
    train = account.splits.get(arguments.script.dataset_train_split)
    is_sorted = training.train_sampling_strategy != "random"
    if train is None or training.packing or training.padding_free or is_sorted:
        return []
    rows = training.per_device_train_batch_size
    advice = advise_on_padding(train.lengths, rows, training.max_length)
    return [] if advice is None else [info(NoteReason.PADDING, advice)]


def require_rows_enough(account: DataAccount, arguments: Arguments) -> None:
    """
    Raises:
        AttemptFailed: more training rows are left out than the config allows.
    """
    name, most = arguments.script.dataset_train_split, arguments.data.max_rows_left_out
    train = account.splits.get(name)
    if train is None or not train.rows or train.rows_dropped <= most * train.rows:
        return
    reasons = ", ".join(f"{reason} ({count})" for reason, count in train.dropped.items() if count)
    remedies = [REMEDIES[each] for each in Dropped if train.dropped.get(each)]
    if any(reason not in {*Dropped} for reason in train.dropped):
        remedies.append("change the rows, or the keys that define their format, as described")
    raise attempt_failed(
        Reason.TOO_MANY_ROWS_LEFT_OUT,
        f"{train.rows_dropped} of {train.rows} rows of {name} would be left out: {reasons}",
        f"{'; '.join(remedies)}; to train on the other rows anyway, raise max_rows_left_out, the "
        f"share that may be skipped (now {most:g})",
    )


def figures_of(account: DataAccount, arguments: Arguments) -> dict[str, float]:
    """The figures of an outcome about the training rows."""
    train = account.splits.get(arguments.script.dataset_train_split)
    if train is None or train.rows is None:
        return {}
    found = {"rows": train.rows, "rows_dropped": train.rows_dropped}
    if train.truncated is not None:
        found["rows_truncated"] = train.truncated
    return {name: float(count) for name, count in found.items()}


def _with_shaping(account: SplitAccount, dropped: Mapping[str, int]) -> SplitAccount:
    before = sum(dropped.values())
    reasons = dict(dropped)
    for reason, count in account.dropped.items():
        reasons[reason] = reasons.get(reason, 0) + count
    rows = None if account.rows is None else account.rows + before
    return replace(account, rows=rows, dropped=reasons)
