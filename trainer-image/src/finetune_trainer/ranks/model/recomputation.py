# SPDX-License-Identifier: Apache-2.0
"""Activation checkpointing where TRL's own switch does not reach the model."""

from typing import Any

from trl import SFTConfig
from trl.models.selective_activation_checkpointing import enable_selective_activation_checkpointing


def settle_recomputation(model: Any, training: SFTConfig) -> None:
    """Passes `selective` to the model inside an adapter.

    TRL 1.16 sets it on PEFT's wrapper, which transformers 5.23 bypasses, and torch then fails with
    "Unexpected keyword arguments: selective".
    """
    if (training.gradient_checkpointing_kwargs or {}).get("selective"):
        enable_selective_activation_checkpointing(model)
