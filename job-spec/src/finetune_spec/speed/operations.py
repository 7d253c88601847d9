# SPDX-License-Identifier: Apache-2.0
"""Operations and bytes per token and per pass. Counts, not measurements. No I/O here.

For each weight and token a forward pass takes two operations. The backward pass takes two for the
gradient of the layer before, and two for the weight's own gradient if it is trained. Recomputation
repeats the two of the forward pass.
"""

from finetune_spec.memory.activations import learning_layers
from finetune_spec.memory.architecture import Architecture
from finetune_spec.memory.strategy import FLOAT32, HALF, Strategy

_FORWARD, _THROUGH, _OWN = 2, 2, 2

GPU_RATE = 2e14
"""Operations per second assumed for a data centre GPU in bfloat16 (an H100 has 989e12). Only used
for ratios to the CPU's work: a slower GPU waits less for it.
"""

COLLATING = {True: 1e-6, False: 0.3e-6}
"""Whether rows are flat -> seconds of one CPU per token in TRL's collator, measured with TRL 1.16
on rows of 1024 tokens.
"""


def operations(model: Architecture, strategy: Strategy) -> float:
    """For each weight of the layers and token."""
    return _without_repetition(model, strategy) + _repeated(model, strategy)


def repeated_share(model: Architecture, strategy: Strategy) -> float:
    """The share of all operations that only recompute activations."""
    return _repeated(model, strategy) / operations(model, strategy)


def computing_seconds(model: Architecture, strategy: Strategy) -> float:
    """The time that a GPU takes for one token."""
    return operations(model, strategy) * model.parameters / GPU_RATE


def cast_bytes(model: Architecture) -> int:
    """Read and written by one pass that casts all matrices from 32 to 16 bits."""
    head = model.head or model.vocabulary * model.hidden
    return (model.matrices + model.expert_parameters + head) * (FLOAT32 + HALF)


def _without_repetition(model: Architecture, strategy: Strategy) -> float:
    own = 0 if strategy.lora is not None else _OWN
    return _FORWARD + (_THROUGH + own) * _learning(model, strategy)


def _repeated(model: Architecture, strategy: Strategy) -> float:
    if strategy.checkpoint_every is None:
        return 0
    return _FORWARD * _learning(model, strategy) / strategy.checkpoint_every


def _learning(model: Architecture, strategy: Strategy) -> float:
    """The share of the layers that gradients pass through."""
    return learning_layers(model, strategy) / model.layers
