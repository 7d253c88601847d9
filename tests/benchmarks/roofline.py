# SPDX-License-Identifier: Apache-2.0
"""The tokens per second that a GPU could train if it only multiplied matrices.

A bound, not a forecast: it ignores memory traffic, launches, the optimizer and data. Good
training reaches 30 to 55 % of it. Multiplications only, two operations each:

forward          2 for each weight of a matrix that a token meets, embeddings' look-up not
backward         as many for the gradients of inputs, and again for those of weights that learn
recomputation    the layers' forward once more
attention        each token looks at half of its row, on average
loss             the head's tiles once more
"""

from dataclasses import dataclass

from finetune_spec.memory import Architecture

H100_BF16 = 989e12
"""Operations per second of an H100 SXM in bfloat16, dense, as NVIDIA states it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How a model is trained."""

    row_tokens: int
    """Tokens that attend to each other: a complete row, or a piece of a pack."""
    learns_all: bool
    """False with an adapter: gradients pass through the weights, but are not computed for them."""
    recomputes: bool


def model_flops(model: Architecture, work: Work) -> float:
    """Operations for one token that the result requires; MFU is based on them."""
    layers, attention, head = _forward(model, work)
    backward = 2 if work.learns_all else 1
    # Both factors of attention's own products have gradients, in any case.
    return (layers + head) * (1 + backward) + attention * 3


def flops_per_token(model: Architecture, work: Work) -> float:
    """Operations for one token that are executed: TRL's loss computes its tiles twice."""
    layers, attention, head = _forward(model, work)
    again = layers + attention if work.recomputes else 0.0
    return model_flops(model, work) + again + head


def _forward(model: Architecture, work: Work) -> tuple[float, float, float]:
    """Operations of the layers' matrices, of queries with keys and values, and of the head."""
    weights = model.layers * sum(linear.weights for linear in model.linears)
    seen = work.row_tokens / 2
    return (
        2.0 * weights,
        2.0 * 2 * model.layers * seen * model.query,
        2.0 * model.vocabulary * model.hidden,
    )


def roofline(model: Architecture, work: Work, peak: float = H100_BF16) -> float:
    """Tokens per second of one GPU at its full rate."""
    return peak / flops_per_token(model, work)


def mfu(
    model: Architecture, work: Work, tokens_per_second: float, peak: float = H100_BF16
) -> float:
    """The share of the GPU's rate that is used for the model's own operations."""
    return tokens_per_second * model_flops(model, work) / peak
