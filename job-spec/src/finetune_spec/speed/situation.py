# SPDX-License-Identifier: Apache-2.0
"""A config with its model, processes and GPU. No I/O here."""

from dataclasses import dataclass, replace

from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.memory import Architecture, Estimate, estimate_memory
from finetune_spec.memory.ladder import ConfigChanges
from finetune_spec.memory.micro_batch import SHARE, settle
from finetune_spec.memory.strategy import Strategy, read_strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A valid config, on GPUs."""

    config: SftConfig
    model: Architecture
    context: Context
    gpu_bytes: int | None = None
    """Memory of each GPU; None if unknown."""

    @property
    def settled(self) -> SftConfig:
        """The config with a number for an automatic micro-batch."""
        return settle(self.config, self.model, self.context, self.gpu_bytes)

    @property
    def strategy(self) -> Strategy:
        return read_strategy(self.settled, self.model, world_size=self.context.world_size or 1)

    @property
    def estimate(self) -> Estimate:
        return estimate_memory(self.settled, self.model, self.context)

    @property
    def has_room(self) -> bool:
        """Whether it is known to fit its GPUs with room to spare."""
        return self.gpu_bytes is not None and self.estimate.total <= SHARE * self.gpu_bytes

    def adjusted(self, settings: ConfigChanges) -> "Situation":
        """The situation with these settings, by TRL's names."""
        return replace(self, config=self.config.supposing(settings))
