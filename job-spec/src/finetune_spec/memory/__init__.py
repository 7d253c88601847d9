# SPDX-License-Identifier: Apache-2.0
"""How much memory a config needs on each GPU, from the model's `config.json`, without torch.

Doors: `estimate_memory` and `fitting.advise_on_memory`.

families      how each family of decoders builds its layers
architecture  a decoder's matrices
model_config  config.json -> architecture
sharding      what DDP, ZeRO and FSDP spread over the processes
strategy      config -> precision, adapter, batch, checkpointing, attention
adapter       what LoRA trains
optimizers    what the optimizer keeps
activations   what the forward pass keeps
estimate      all of it, part by part
ladder        what to change where memory is short, in order
fitting       what to change so that it fits

What is exact, what is not and by how much is in docs/memory.md, measured by tests.
"""

from collections.abc import Mapping
from typing import Any

from finetune_spec.config.check.values import is_number
from finetune_spec.config.parse.launch.resolution import resolve_launch
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.parse.spellings import modernize
from finetune_spec.memory.architecture import Architecture, with_parameters
from finetune_spec.memory.estimate import Estimate, estimate
from finetune_spec.memory.model_config import UnreadableModel, parse_model
from finetune_spec.memory.strategy import read_strategy

__all__ = [
    "Architecture",
    "Estimate",
    "UnreadableModel",
    "estimate_memory",
    "parse_model",
    "read_config",
    "with_parameters",
]


def estimate_memory(config: Reading, model: Architecture, context: Context) -> Estimate:
    """What each process of a config that is right needs."""
    strategy = read_strategy(
        config,
        model,
        world_size=context.world_size or 1,
        has_gpus=context.gpus_per_node != 0,
    )
    return estimate(model, strategy)


def read_config(config: Mapping[str, Any], context: Context) -> Reading:
    """A config that was found right, as rules read it; JSON's 8.0 is 8 where that is meant."""
    modern, spellings = modernize(config)
    resolved = resolve_launch(modern)
    schema = context.schema
    values = {
        key: int(value) if _is_whole(value) and "number" not in schema.types(key) else value
        for key, value in resolved.values.items()
        if key in schema.properties
    }
    return Reading(values=values, schema=schema, spellings=spellings | resolved.origins)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and is_number(value) and value.is_integer()
