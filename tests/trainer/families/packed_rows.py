# SPDX-License-Identifier: Apache-2.0
"""Whether an architecture keeps the rows of a pack separate: compares the results for them in a
pack with the results for each row alone.

Rows and borders are those of TRL's collator, with the attention that our ranks select. Everything
is in 64 bits, so that separate rows agree to seven digits and more.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from finetune_spec.base_model.packed_rows import PackedRows
from finetune_spec.packages import PACKAGES
from trainer.families.small import a_model

LENGTHS = (5, 1, 23, 17, 2)
_NOISE = 1e-5
"""Tolerance, as a share of the largest logit. Some models compute parts in 32 bits, whatever their
own precision.
"""


class NotBuilt(Exception):
    """The architecture cannot be built in a small size, or computes nothing from texts alone."""


def measure(model_type: str, attention: str | None = None) -> tuple[PackedRows, str]:
    """The treatment of its rows, and the package that it requires to compute a pack.

    Raises:
        NotBuilt: there is nothing to measure.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = a_model(model_type, attention)
            rows = _rows()
            with torch.no_grad():
                alone = torch.cat([_alone(model, row) for row in rows])
        except Exception as error:
            raise NotBuilt(f"{model_type}: {type(error).__name__}: {error}") from error
        try:
            packed = _packed(model, rows, attention)
        except TimeoutError as error:
            raise NotBuilt(f"{model_type}: {error}") from error
        except Exception as error:  # noqa: BLE001 - whatever the architecture cannot do
            return PackedRows.REFUSED, _package_in(str(error))
    return (PackedRows.APART, "") if _agree(packed, alone) else (PackedRows.MIXED, "")


def _rows() -> Sequence[Any]:
    import torch

    drawn = torch.Generator().manual_seed(1)
    return [torch.randint(3, 90, (length,), generator=drawn) for length in LENGTHS]


def _alone(model: Any, row: Any) -> Any:
    import torch

    mask = torch.ones_like(row)[None]
    return model(input_ids=row[None], attention_mask=mask, use_cache=False).logits[0]


def _packed(model: Any, rows: Sequence[Any], attention: str | None) -> Any:
    import torch
    from trl import SFTConfig
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from finetune_trainer.ranks.attention.batch import flat_batch
    from finetune_trainer.ranks.attention.choice import settle_attention

    usual = {"output_dir": "nowhere", "use_cpu": True, "bf16": False, "report_to": "none"}
    settle_attention(model, SFTConfig(packing=True, **usual), attention)
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch = dict(collate([{"input_ids": row.tolist()} for row in rows]))
    del batch["labels"]
    with torch.no_grad(), flat_batch(is_flat=True, borders=batch["cu_seq_lens_q"]):
        return model(**batch, use_cache=False).logits[0]


def _agree(packed: Any, alone: Any) -> bool:
    return bool((packed - alone).abs().max() <= _NOISE * alone.abs().max())


def _package_in(error: str) -> str:
    """The package that transformers requires; it begins the error with what it cannot do."""
    _, found, after = error.partition("can't keep packed sequences apart without `")
    module = after.partition("`")[0] if found else ""
    return next((it.name for it in PACKAGES.values() if module in (it.module, it.name)), module)
