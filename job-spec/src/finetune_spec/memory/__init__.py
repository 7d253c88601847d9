# SPDX-License-Identifier: Apache-2.0
"""How much memory a config needs on each GPU, from the model's `config.json`, without torch.

Doors: `estimate_memory` and `fitting.advise_on_memory`.

families      how each family of decoders builds its layers
architecture  a decoder's matrices
model_config  config.json -> architecture
sharding      what DDP, ZeRO and FSDP spread over the processes
strategy      config -> precision, adapter, batch, checkpointing, attention
adapter       what LoRA trains
patterns      which modules a user's expression names, in bounded time
optimizers    what the optimizer keeps
activations   what the forward pass keeps
estimate      all of it, part by part
ladder        what to change where memory is short, in order
micro_batch   which micro-batches take the same step, and how many rows of one fit
fitting       what to change so that it fits

What is exact, what is not and by how much is in docs/user/memory.md, measured by tests.
"""

from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
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
    "with_parameters",
]


def estimate_memory(config: SftConfig, model: Architecture, context: Context) -> Estimate:
    """What each process of a config that is right needs."""
    strategy = read_strategy(
        config,
        model,
        world_size=context.world_size or 1,
        has_gpus=context.gpus_per_node != 0,
    )
    return estimate(model, strategy)
