# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for the trained weights."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class TuningArguments:
    """TRL's parser reads it next to its own."""

    num_layers_unfrozen: int | None = field(
        default=None,
        metadata={
            "help": "Train only this number of last layers, with the final norm and the output "
            "head. Everything else stays frozen, including a head that shares its weights with the "
            "embedding. For full fine-tuning."
        },
    )
    added_tokens: list[str] | None = field(
        default=None,
        metadata={
            "help": "Tokens that are added to the vocabulary, e.g. ['<|tool|>']. Their embeddings "
            "are trained; with an adapter, only theirs. Tokens that already exist are "
            "trained as well."
        },
    )
    adapter_as_model: Literal["continue", "merge"] | None = field(
        default=None,
        metadata={
            "help": "How to train an adapter that model_name_or_path names. continue trains this "
            "adapter further, on its base model. merge merges it into its base model first, and "
            "trains the result."
        },
    )
    adapter_base_model: str | None = field(
        default=None,
        metadata={
            "help": "Base model of the adapter that model_name_or_path names: a hub name, a path "
            "or a URI. By default the one that its adapter_config.json names."
        },
    )
