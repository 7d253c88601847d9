# SPDX-License-Identifier: Apache-2.0
"""Keys in a section of their own (`lora: {r: 8}`), where TRL has all at the top. No I/O here."""

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.suggest.nearest import exact_key, normalize
from finetune_spec.config.suggest.tables import sections, wrappers


def is_section(word: str) -> bool:
    """Whether a mapping of this name can only be a section."""
    return normalize(word) in wrappers() or normalize(word) in sections()


def key_in_section(section: str, word: str, schema: Schema) -> str | None:
    """TRL's key that is meant by a word in a section; None where nothing is known of it."""
    snake, inner = normalize(section), normalize(word)
    for key in (sections().get(snake, {}).get(inner), f"{snake}_{inner}"):
        if key in schema.properties:
            return key
    return exact_key(word, schema)
