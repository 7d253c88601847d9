# SPDX-License-Identifier: Apache-2.0
"""Valid numbers for each key of TRL, and senseless ones. Pure.

Taken from the sources of TRL, transformers, torch and PEFT, not from `ranges.py`: the check's
result is compared with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Values for one key."""

    typical: tuple[Any, ...]
    boundary: tuple[Any, ...] = ()
    outside: tuple[Any, ...] = ()


def _count(*typical: int) -> Numbers:
    return Numbers(typical=typical, boundary=(1,), outside=(0, -1, -8))


_BETA = Numbers(typical=(0.9, 0.95, 0.999), boundary=(0.0,), outside=(1.0, 1.5, -0.1))
_STEPS = Numbers(typical=(10, 200, 0.1, 0.5), boundary=(1,), outside=(-5, 2.5))

NUMBERS: Mapping[str, Numbers] = {
    "adam_beta1": _BETA,
    "adam_beta2": _BETA,
    "adam_epsilon": Numbers(typical=(1e-8, 1e-6), outside=(-1e-8,)),
    "data_seed": Numbers(typical=(7, 42), boundary=(0,)),
    "dataloader_num_workers": Numbers(typical=(2, 4), boundary=(0,), outside=(-1,)),
    "dataloader_prefetch_factor": Numbers(typical=(2, 4), boundary=(1,), outside=(0, -1)),
    "dataset_num_proc": Numbers(typical=(1, 2), outside=(0, -1)),
    "ddp_bucket_cap_mb": _count(25),
    "ddp_timeout": Numbers(typical=(1800, 7200), boundary=(1,), outside=(-1,)),
    "early_stopping_patience": _count(3),
    "early_stopping_threshold": Numbers(typical=(0.01,), boundary=(0.0,), outside=(-0.1,)),
    "eval_accumulation_steps": _count(4),
    "eval_delay": Numbers(typical=(1, 10, 0.5), boundary=(0,), outside=(-1,)),
    "eval_sample_max_tokens": _count(40),
    "eval_sample_seconds": Numbers(typical=(60, 5.0), boundary=(0,), outside=(-1,)),
    "eval_steps": _STEPS,
    "gradient_accumulation_steps": _count(8, 16),
    "label_smoothing_factor": Numbers(typical=(0.1,), boundary=(0.0,), outside=(-0.1, 1.5)),
    "learning_rate": Numbers(typical=(1e-4, 2e-5, 5e-6), outside=(-1e-4, 0)),
    "local_rank": Numbers(typical=(-1,), boundary=(0,)),
    "logging_steps": Numbers(typical=(1, 10, 0.1), outside=(0, -1, 2.5)),
    "lora_alpha": Numbers(typical=(16, 32), boundary=(1,), outside=(0, -16)),
    "lora_dropout": Numbers(typical=(0.05, 0.1), boundary=(0.0,), outside=(-0.1, 1.5)),
    "lora_r": _count(8, 64),
    "max_grad_norm": Numbers(typical=(1.0, 0.3), boundary=(0.0,), outside=(-1.0,)),
    "max_length": Numbers(typical=(512, 2048), boundary=(16,), outside=(0, -5)),
    "max_rows_left_out": Numbers(typical=(0.5, 0.1), boundary=(0.0, 1.0), outside=(-0.1, 1.5)),
    "max_steps": Numbers(typical=(2, 100, -1), boundary=(1,), outside=(0, -5)),
    "neftune_noise_alpha": Numbers(typical=(5.0, 15), outside=(-5.0,)),
    "num_eval_samples": Numbers(typical=(3, 10), boundary=(0,), outside=(-1,)),
    "num_layers_unfrozen": _count(2),
    "num_train_epochs": Numbers(typical=(1, 3.0, 0.5), outside=(0, -1)),
    "pad_to_multiple_of": Numbers(typical=(8, 64, "auto"), boundary=(1,), outside=(0, -8)),
    "per_device_eval_batch_size": _count(2, 8),
    "per_device_train_batch_size": _count(2, 8),
    "router_aux_loss_coef": Numbers(typical=(0.0,), outside=(-0.5,)),
    "save_minutes": Numbers(typical=(10, 0.5), outside=(0, -1)),
    "save_steps": _STEPS,
    "save_total_limit": Numbers(typical=(2, 5), boundary=(1,), outside=(0, -1)),
    "seed": Numbers(typical=(7, 42), boundary=(0, 2**32 - 1), outside=(-1, 2**32)),
    "test_split_size": Numbers(typical=(0.1, 0.5), outside=(1.5, -0.1)),
    "torch_empty_cache_steps": _count(10),
    "warmup_steps": Numbers(typical=(100, 0.03), boundary=(0,), outside=(-1,)),
    "weight_decay": Numbers(typical=(0.01, 0.1), boundary=(0.0,), outside=(-0.1,)),
}
