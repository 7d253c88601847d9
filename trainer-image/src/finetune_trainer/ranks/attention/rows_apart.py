# SPDX-License-Identifier: Apache-2.0
"""Tests whether a loaded model keeps the rows of a pack separate, if the table has no entry.

Two packs differ in their first row only. All results for the second row must be the same in both.
That needs no other computation for comparison, and so no tolerance for another precision.
"""

import logging
from typing import Any

import torch
from transformers import PreTrainedConfig

from finetune_contract.reasons import Reason
from finetune_spec.attention import EAGER
from finetune_spec.base_model.packed_rows import PackedRows, rows_of
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.attention.batch import flat_batch
from finetune_trainer.ranks.attention.choice import has_flat_rows, name_to_load
from finetune_trainer.ranks.attention.trainer import BORDERS
from finetune_trainer.ranks.model.modes import evaluating

log = logging.getLogger(__name__)

_LENGTH = 8
_ROWS = 3
"""The first row of either pack, and the second row."""
_NOISE = 0.02
"""Tolerance, as a share of the largest logit. In a mixture of experts another first row may change
how sums are split.
"""


def require_rows_apart(trainer: Any, named: str | None) -> None:
    """Applies if rows are flat and the table of measured architectures has no entry for this model.

    Raises:
        AttemptFailed: the model mixes the rows of a pack, or cannot compute one.
    """
    if not has_flat_rows(trainer.args) or _is_measured(trainer.model.config, named):
        return
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        log.warning("not checked whether the model keeps the rows of a pack apart: it is sharded")
        return
    rows = torch.randint(_vocabulary(trainer.model), (_ROWS, _LENGTH), generator=_generator())
    first, other, second = rows.tolist()
    try:
        found, again = (_second_row(trainer, [each, second]) for each in (first, other))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise _refused(trainer, f"does not support packing ({error})") from error
    if (found - again).abs().max() > _NOISE * found.abs().max():
        raise _refused(
            trainer,
            "does not keep the rows of a pack apart: each would be trained as if it continued the "
            "row before it",
        )
    log.info("the model keeps the rows of a pack apart")


def _is_measured(config: PreTrainedConfig, named: str | None) -> bool:
    has_own_code = config.__module__.startswith("transformers_modules")
    is_ours = name_to_load(named) in (None, EAGER)
    return is_ours and not has_own_code and rows_of(config.model_type, named) is PackedRows.APART


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().num_embeddings)


def _generator() -> torch.Generator:
    """A separate generator: the training must not depend on whether this test ran."""
    return torch.Generator().manual_seed(0)


def _second_row(trainer: Any, rows: list[list[int]]) -> torch.Tensor:
    batch = dict(trainer.data_collator([{"input_ids": row} for row in rows]))
    del batch["labels"]
    batch = trainer._prepare_inputs(batch)
    with (
        evaluating(trainer.model),
        trainer.compute_loss_context_manager(),
        flat_batch(is_flat=True, borders=batch[BORDERS]),
    ):
        logits: torch.Tensor = trainer.model(**batch, use_cache=False).logits
    return logits[0, _LENGTH:].float()


def _refused(trainer: Any, what: str) -> AttemptFailed:
    key = "packing" if trainer.args.packing else "padding_free"
    return attempt_failed(
        Reason.INVALID_CONFIG,
        f"{key}: found true, but the model (of type {trainer.model.config.model_type}) {what}",
        f"leave {key} out, so that rows are padded",
    )
