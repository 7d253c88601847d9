# SPDX-License-Identifier: Apache-2.0
"""The remaining changes after a GPU ran out of memory. Pure."""

from finetune_spec.config import Context, SftConfig
from finetune_spec.memory.ladder import find_rungs, render_settings, spell


def memory_remedy(config: SftConfig, world_size: int) -> str:
    """One line: the parts of this config that can still be reduced, or the alternative if none can
    be.
    """
    context = Context(nodes=1, processes_per_node=world_size)
    left = [
        (f"set {render_settings(spell(config, settings), ' to ')}" if settings else "") + rung.note
        for rung, settings in find_rungs(config, context)
    ]
    if not left:
        return (
            "request a larger GPU, or use a smaller model: nothing in the config can be reduced "
            "further"
        )
    return "; or ".join(left) + "; or request a larger GPU"
