# SPDX-License-Identifier: Apache-2.0
"""Which activations are computed again, where TRL's own switch doesn't reach the model."""

from typing import Any

from trl import SFTConfig
from trl.models.selective_activation_checkpointing import enable_selective_activation_checkpointing


def settle_recomputation(model: Any, training: SFTConfig) -> None:
    """Let `selective` reach the model that lies in an adapter.

    TRL 1.16 sets it on PEFT's wrapper, past which transformers 5.23 calls the model itself, and
    torch then ends with "Unexpected keyword arguments: selective".
    """
    if (training.gradient_checkpointing_kwargs or {}).get("selective"):
        enable_selective_activation_checkpointing(model)
