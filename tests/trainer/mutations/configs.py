# SPDX-License-Identifier: Apache-2.0
"""Configs spoiled in one or two ways, and otherwise adapted to this machine. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.parse.schema import Schema
from trainer.config_fuzz.draws import RIGHT, Fuzzed, Kind
from trainer.config_fuzz.generator import BASE, fuzz

NOT_HERE = frozenset(
    {
        "resume_from_checkpoint",  # The operator sets it.
        "dataloader_num_workers",  # It starts processes.
        "dataset_num_proc",
        # A process group that is destroyed while a DDP model lives can hang in torch forever.
        "ddp_backend",
        "fsdp",
        "deepspeed",
        "accelerate_config",
        "torch_compile",  # It takes minutes of compiling.
        "torch_compile_backend",
        "torch_compile_mode",
        "full_determinism",  # It changes torch for the complete process.
        "load_in_4bit",  # The tiny model's layers are smaller than a block of the CPU's kernel.
        "report_to",
        "env",
    }
)
"""Valid values of these keys are left out; invalid ones are not."""


NEVER_RIGHT = frozenset(
    {
        Kind.TEXT_FOR_NUMBER,
        Kind.FRACTION,
        Kind.NUMBER_FOR_TEXT,
        Kind.TEXT_FOR_BOOL,
        Kind.NUMBER_FOR_BOOL,
        Kind.LIST,
        Kind.MAPPING,
        Kind.NESTED,
    }
)
"""Kinds of invalid values that have no meaning for any key: others may be valid by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoiledConfig:
    """A user's additions to a config that trains."""

    added: dict[str, Any]
    wrong: tuple[str, ...]
    """Keys with which nothing may be trained."""


def configs(schema: Schema, seed: int, count: int) -> Iterator[SpoiledConfig]:
    """In an order that the seed decides."""
    found = 0
    for fuzzed in fuzz(schema, seed=seed, count=10**6):
        if found == count:
            return
        if any(draw.kind not in RIGHT for draw in fuzzed.draws) or fuzzed.number % 3 == 0:
            found += 1
            yield _runnable(fuzzed)


def _runnable(fuzzed: Fuzzed) -> SpoiledConfig:
    draws = [
        draw
        for draw in fuzzed.draws
        if draw.kind not in RIGHT or draw.key not in {*BASE, *NOT_HERE, "max_steps", "datasets"}
    ]
    return SpoiledConfig(
        added={"max_steps": 1} | {draw.key: draw.value for draw in draws},
        wrong=tuple(draw.key for draw in draws if draw.kind in NEVER_RIGHT),
    )
