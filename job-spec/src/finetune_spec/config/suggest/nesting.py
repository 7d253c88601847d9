# SPDX-License-Identifier: Apache-2.0
"""Keys in sections (`lora: {r: 8}`), which are top-level keys in TRL. No I/O here."""

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.suggest.nearest import exact_key, normalize
from finetune_spec.config.suggest.tables import sections, wrappers


def is_section(word: str) -> bool:
    """Whether a mapping of this name can only be a section."""
    return normalize(word) in wrappers() or normalize(word) in sections()


def key_in_section(section: str, word: str, schema: Schema) -> str | None:
    """The TRL key that a word in a section stands for; None if unknown."""
    snake, inner = normalize(section), normalize(word)
    for key in (sections().get(snake, {}).get(inner), f"{snake}_{inner}"):
        if key in schema.properties:
            return key
    return exact_key(word, schema)
