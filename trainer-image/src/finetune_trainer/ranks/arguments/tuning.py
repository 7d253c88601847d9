# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for the trained weights."""

from dataclasses import dataclass, field


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
