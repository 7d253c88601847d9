# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for the trained weights."""

from dataclasses import dataclass, field


@dataclass
class TuningArguments:
    """TRL's parser reads it next to its own."""

    num_layers_unfrozen: int | None = field(
        default=None,
        metadata={
            "help": "Train only the last layers, as many as this, with the final norm and the "
            "output head; everything else stays frozen, and so does a head that is the embedding "
            "(tied weights). For full fine-tuning."
        },
    )
    added_tokens: list[str] | None = field(
        default=None,
        metadata={
            "help": "Tokens that are added to the vocabulary, e.g. ['<|tool|>']. Their embeddings "
            "are trained; with an adapter, theirs alone. One that is there already is trained too."
        },
    )
