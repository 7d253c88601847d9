# SPDX-License-Identifier: Apache-2.0
"""What is left to try when a GPU's memory did not suffice. Pure."""

from collections.abc import Mapping
from typing import Any

from finetune_spec.config import Context
from finetune_spec.memory import read_config
from finetune_spec.memory.ladder import find_rungs, render_settings, spell


def memory_remedy(config: Mapping[str, Any], world_size: int) -> str:
    """One line: what in this config can still be reduced, and what is left once nothing can be."""
    context = Context(nodes=1, processes_per_node=world_size)
    reading = read_config(config, context)
    left = [
        (f"set {render_settings(spell(reading, settings), ' to ')}" if settings else "") + rung.note
        for rung, settings in find_rungs(reading, context)
    ]
    if not left:
        return (
            "ask for a larger GPU, or for a smaller model: nothing in the config is left to lower"
        )
    return "; or ".join(left) + "; or ask for a larger GPU"
