# SPDX-License-Identifier: Apache-2.0
"""Estimates the memory per GPU of a config from the model's `config.json`, without torch.

Doors: `estimate_memory` and `fitting.advise_on_memory`.

families      the layers of each family of decoders
architecture  a decoder's matrices
model_config  config.json -> architecture
sharding      the parts that DDP, ZeRO and FSDP shard
strategy      config -> precision, adapter, batch, checkpointing, attention
adapter       the parameters that LoRA trains
patterns      the modules that a user's expression matches, in bounded time
optimizers    the optimizer's state
activations   the tensors that the forward pass keeps
estimate      the total, part by part
ladder        changes that reduce memory, in order
micro_batch   micro-batches with the same effective batch, and how many rows fit
fitting       the changes that make a config fit

docs/user/memory.md lists the accuracy of each part, as measured by tests.
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
    """The memory that each process of a valid config needs."""
    strategy = read_strategy(
        config,
        model,
        world_size=context.world_size or 1,
        has_gpus=context.gpus_per_node != 0,
    )
    return estimate(model, strategy)
