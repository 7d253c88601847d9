# SPDX-License-Identifier: Apache-2.0
"""Failures for data without a token that counts for the loss.

TRL itself would train on them, at loss 0, and report success.
"""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset
from trl import SFTConfig

from finetune_contract.reasons import Reason
from finetune_trainer.exchange.data_account import Dropped
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.data.measuring import Measured, measure

REMEDIES: Mapping[Dropped, str] = {
    Dropped.EMPTY: "add text to the rows",
    Dropped.ALL_MASKED: "give the rows answers that are not empty; without assistant_only_loss and "
    "completion_only_loss every token counts",
    Dropped.PROMPT_FILLS_MAX_LENGTH: "raise max_length, or shorten the prompts",
}


def nothing_counts(split: str, measured: Measured, training: SFTConfig) -> AttemptFailed:
    """No row of the split has a token to train on: the reason, and the remedy."""
    drops = measured.drops()
    causes = [_cause(Dropped(reason), count, measured, training) for reason, count in drops.items()]
    return attempt_failed(
        Reason.NOTHING_TRAINED,
        f"no token of the {split} data counts for the loss: "
        + (", ".join(causes) or "there are no rows"),
        "; ".join(REMEDIES[Dropped(reason)] for reason in drops) or "add rows",
    )


def _cause(reason: Dropped, count: int, measured: Measured, training: SFTConfig) -> str:
    rows = "1 row" if count == 1 else f"{count} rows"
    match reason:
        case Dropped.EMPTY:
            return f"{rows} of fewer than two tokens"
        case Dropped.PROMPT_FILLS_MAX_LENGTH:
            return (
                f"{rows} whose prompt fills max_length ({training.max_length}; the longest row has "
                f"{int(measured.lengths.max())} tokens)"
            )
    return f"{rows} whose every label is masked, as that of an empty answer"


def nothing_is_answered() -> AttemptFailed:
    return attempt_failed(
        Reason.NOTHING_TRAINED,
        "assistant_only_loss is set, but no conversation has a turn of the role assistant",
        "give the answers the role assistant, or leave assistant_only_loss out",
    )


def marks_are_empty() -> AttemptFailed:
    return attempt_failed(
        Reason.ASSISTANT_TOKENS_UNKNOWN,
        "assistant_only_loss is set, but with this chat template at least one conversation has "
        "no assistant text between {% generation %} and {% endgeneration %}",
        "put these marks around the answers in the template, give the data as prompt and "
        "completion, or leave assistant_only_loss out",
    )


def require_tokens_that_count(train: Any) -> None:
    """Checks data that TRL is configured to use unchanged.

    Raises:
        AttemptFailed: there is no such token.
    """
    if not isinstance(train, Dataset) or "labels" not in train.column_names:
        return
    if not measure(train, None).is_useful.any():
        raise attempt_failed(
            Reason.NOTHING_TRAINED,
            "no token of the data counts for the loss: every label is -100",
            "give the tokens of the answers their own ids as labels",
        )


def require_a_batch(trainer: Any) -> None:
    """Checks that `dataloader_drop_last` leaves a batch of each split.

    Raises:
        AttemptFailed: there are fewer rows than the batch of all processes.
    """
    args = trainer.args
    if not args.dataloader_drop_last:
        return
    splits = {"train": trainer.train_dataset, "eval": trainer.eval_dataset}
    for name, data in splits.items():
        size = getattr(args, f"per_device_{name}_batch_size") * args.world_size
        if not isinstance(data, Dataset) or len(data) >= size:
            continue
        what = "packs" if args.packing and name == "train" else "rows"
        raise attempt_failed(
            Reason.NOTHING_TRAINED,
            f"dataloader_drop_last is set, but the {name} data has {len(data)} {what}, fewer "
            f"than one batch ({size}): all of them would be dropped",
            f"lower per_device_{name}_batch_size, or leave dataloader_drop_last out",
        )
