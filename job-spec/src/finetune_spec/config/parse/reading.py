# SPDX-License-Identifier: Apache-2.0
"""A config as its rules read it: current spellings, with TRL's defaults for unset keys."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_spec.config.parse.schema import NEWEST, Schema, load_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Other known facts for the rules; None if unknown, and then no rule uses it."""

    schema: Schema = field(default_factory=lambda: load_schema(NEWEST))
    nodes: int | None = None
    processes_per_node: int | None = None
    gpus_per_node: int | None = None
    """0 for a job on CPUs."""
    model: Mapping[str, Any] | None = None
    """The model's own `config.json`."""
    has_own_image: bool = False
    """Whether the job names an image of its own, which may have any package."""
    packages: Collection[str] = ()
    """Optional packages that are known to be installed, if another image than the stock one is
    used.
    """
    environment: Collection[str] | None = None
    """The names of the trainer's environment variables, in addition to those of `env` in the
    config.
    """

    @property
    def world_size(self) -> int | None:
        if self.nodes is None or self.processes_per_node is None:
            return None
        return self.nodes * self.processes_per_node


MICRO_BATCH, AUTO = "per_device_train_batch_size", "auto"
"""The key that may be `auto`: then the trainer uses the largest that fits."""


class UnreadableValue(Exception):
    """A rule read a value that is invalid by itself: then the rule does not apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The values of a config by TRL's own names. It contains only values of the right type."""

    values: Mapping[str, Any]
    """The values that the user set."""
    schema: Schema
    spellings: Mapping[str, str] = field(default_factory=dict)
    """TRL's name -> the older name that the user wrote, if any."""
    wrong: Collection[str] = ()
    """The keys whose values are invalid by themselves: the intended value is unknown."""

    def __getitem__(self, key: str) -> Any:
        """The user's value, or TRL's default; None for a key that this TRL doesn't have.

        An automatic micro-batch counts as single rows until it is settled: the accumulation is then
        the number of rows that each process takes for a step, which does not change.

        Raises:
            UnreadableValue: the user's value is invalid by itself.
        """
        if key in self.wrong:
            raise UnreadableValue(key)
        if key in self.values:
            return 1 if key == MICRO_BATCH and self.has_auto_batch else self.values[key]
        return self.schema.default(key) if key in self.schema.properties else None

    def is_set(self, key: str) -> bool:
        """
        Raises:
            UnreadableValue: the user's value is invalid by itself.
        """
        if key in self.wrong:
            raise UnreadableValue(key)
        return key in self.values

    @property
    def has_auto_batch(self) -> bool:
        """Whether the trainer chooses the largest micro-batch that fits."""
        return bool(self.values.get(MICRO_BATCH) == AUTO)

    def number(self, key: str) -> float:
        """The number of a key; 0 without one."""
        return float(self[key] or 0)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """The mapping of a key; empty if it is a path to a file, or unset."""
        value = self[key]
        return value if isinstance(value, Mapping) else {}

    def fsdp_option(self, name: str) -> object:
        """An option of `fsdp_config`, with or without the older prefix."""
        options = self.mapping("fsdp_config")
        return options.get(name, options.get(f"fsdp_{name}"))

    def recomputation_key(self, suffix: str = "") -> str:
        """TRL's switch for activation checkpointing: the older name is the fallback."""
        newer = f"activation_checkpointing{suffix}"
        return f"gradient_checkpointing{suffix}" if self[newer] is None else newer

    @property
    def recomputes_by_trl(self) -> bool:
        """Whether TRL recomputes activations in the backward pass, which is its default."""
        return bool(self[self.recomputation_key()])

    @property
    def recomputes_by_fsdp(self) -> bool:
        """Whether FSDP does so itself."""
        return bool(self["fsdp"]) and self.fsdp_option("activation_checkpointing") is True

    @property
    def recomputes(self) -> bool:
        """Whether activations are recomputed, by TRL or by FSDP."""
        return self.recomputes_by_trl or self.recomputes_by_fsdp

    @property
    def attention(self) -> str | None:
        """The value of `attn_implementation`; in `sft.py`, `model_init_kwargs` takes precedence
        over the key.
        """
        nested = self.mapping("model_init_kwargs")
        named = nested.get("attn_implementation", self["attn_implementation"])
        return None if named is None else str(named)

    @property
    def has_flat_rows(self) -> bool:
        """Whether a batch is one row without padding, with separate sequences."""
        is_packed = self["packing"] and self["packing_strategy"] != "wrapped"
        return bool(is_packed or self["padding_free"])

    @property
    def quantization_bits(self) -> int | None:
        """The bits of the weights that this config requests: a model may also be stored
        quantized.
        """
        return 4 if self["load_in_4bit"] else 8 if self["load_in_8bit"] else None

    @property
    def is_quantized(self) -> bool:
        return self.quantization_bits is not None

    @property
    def is_evaluated(self) -> bool:
        # An unquoted `no` is false in YAML, and null means the same.
        return self["eval_strategy"] not in ("no", None, False)

    @property
    def mixture(self) -> tuple[Mapping[str, Any], ...]:
        """The parts of `datasets`, which takes precedence over `dataset_name`."""
        return tuple(part for part in self["datasets"] or () if isinstance(part, Mapping))

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names in `report_to`, including `all` and `none`."""
        value = self["report_to"]
        listed = [value] if isinstance(value, str) else value or []
        return tuple(name for name in listed if isinstance(name, str))

    def is_mixed(self, *, has_gpus: bool) -> bool:
        """Whether TRL computes in 16 bits: on a GPU its default is bf16 unless fp16 is set."""
        if self["bf16"] is None:
            return has_gpus or bool(self["fp16"])
        return bool(self["bf16"]) or bool(self["fp16"])

    def effective_batch(self, world_size: int) -> int:
        """The rows of one optimizer step, over all processes."""
        rows: int = self["per_device_train_batch_size"] * self["gradient_accumulation_steps"]
        return rows * world_size

    def name(self, key: str) -> str:
        """The key as the user wrote it, for messages."""
        return self.spellings.get(key, key)
