# SPDX-License-Identifier: Apache-2.0
"""A decoder's matrices, as far as they affect memory, and its number of parameters."""

from dataclasses import dataclass, replace
from enum import Enum


class MatrixInput(Enum):
    """The input of a matrix: matrices of one source share it."""

    ATTENTION_INPUT = "attention input"
    ATTENTION_OUTPUT = "attention output"
    MLP_INPUT = "mlp input"
    MLP_PRODUCT = "mlp product"


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """One matrix of a layer."""

    name: str
    """Within its layer, such as `self_attn.q_proj`."""
    inputs: int
    outputs: int
    source: MatrixInput
    has_bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        return self.weights + (self.outputs if self.has_bias else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The experts of one layer: transformers stores them as one parameter, not as matrices."""

    count: int
    active: int
    """The number of active experts per token."""
    width: int

    def parameters(self, hidden: int) -> int:
        return self.count * 3 * hidden * self.width + self.count * hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder of equal layers."""

    model_type: str
    hidden: int
    layers: int
    heads: int
    query: int
    """Width of all query heads together."""
    key_value: int
    """Width of all key heads together; the values' is the same."""
    vocabulary: int
    context: int | None
    """The number of tokens it was made for."""
    linears: tuple[Linear, ...]
    """The linear layers of one layer."""
    experts: Experts | None
    width: int
    """The width of the MLP; with experts, of all that process a token."""
    is_gated: bool
    activation_copies: int
    """The number of tensors of the MLP's width that an activation without a gate keeps."""
    norms: int
    """In one layer, of the hidden size."""
    norm: int
    """Parameters of one of them."""
    is_rms_norm: bool
    scales_in_32_bits: bool
    """Whether RMSNorm multiplies by its weight before it casts back to 16 bits."""
    softcaps_attention: bool
    keeps_projection: bool
    """Whether one matrix computes queries, keys and values, and only two of them get rotary
    positions: the third is a view of the result and keeps it.
    """
    query_key_norm: int
    """Parameters of the norms over queries and keys in one layer; 0 without them."""
    vectors: int
    """Parameters of all norms: in the layers, before and after them."""
    embedding: int
    """Parameters of the embeddings."""
    head: int
    """Parameters of the language modelling head; 0 if it is tied to the embedding."""
    path: str
    """The module path of the layers, such as `model.layers`."""
    stored_dtype: str | None
    """The dtype that `dtype: auto` loads."""
    quantization_bits: int | None = None
    """The bits of a checkpoint that is stored quantized."""
    others: int = 0
    """Parameters that are known from the files' headers and not from the config."""
    is_known: bool = True
    """False if it was treated as a Llama with the same numbers."""

    @property
    def matrices(self) -> int:
        """Parameters of all matrices in the layers, which quantization affects."""
        return self.layers * sum(linear.parameters for linear in self.linears)

    @property
    def expert_parameters(self) -> int:
        return 0 if self.experts is None else self.layers * self.experts.parameters(self.hidden)

    @property
    def parameters(self) -> int:
        return (
            self.matrices
            + self.expert_parameters
            + self.vectors
            + self.embedding
            + self.head
            + self.others
        )

    def last_layers(self, count: int | None) -> int:
        """Parameters of this many last layers with the last norm and the head; None for the
        model's.

        A tied head does not count.
        """
        if count is None:
            return self.parameters
        layer = self.norms * self.norm + self.query_key_norm
        share = (self.matrices + self.expert_parameters) // self.layers + layer
        return min(count, self.layers) * share + self.norm + self.head

    def layer_of(self, number: int, linear: Linear) -> str:
        """The complete name of a matrix, as PEFT matches it."""
        return f"{self.path}.{number}.{linear.name}"


def with_parameters(architecture: Architecture, parameters: int) -> Architecture:
    """The architecture with the number of parameters in the files' headers."""
    unexplained = parameters - architecture.parameters + architecture.others
    return replace(architecture, others=unexplained)
