# SPDX-License-Identifier: Apache-2.0
"""Packages that take seconds to import, and that TRL and accelerate import whenever they are
installed.

A rank whose config does not need one makes it look as if it were not installed.
"""

from collections.abc import Mapping

from finetune_spec.config import SftConfig
from finetune_trainer.plan import trackers

DEEPSPEED = "deepspeed"
_ASKED_FOR = "ACCELERATE_USE_DEEPSPEED"
"""This variable may also request it; a later check reports that it was not planned."""


def excluded_packages(config: SftConfig, variables: Mapping[str, str]) -> tuple[str, ...]:
    """The slow packages that a rank with this config and environment does not need."""
    wants_deepspeed = config["deepspeed"] or variables.get(_ASKED_FOR)
    return (*trackers.not_named_in(config), *(() if wants_deepspeed else (DEEPSPEED,)))
