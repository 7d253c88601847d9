# SPDX-License-Identifier: Apache-2.0
"""Training plan -> config of the merge: only how the base model is loaded. Pure.

A merge is one process on the CPU, however the training was distributed.
"""

from collections.abc import Mapping
from typing import Any

_OF_THE_BASE = (
    *("model_name_or_path", "model_revision", "dtype", "trust_remote_code", "model_init_kwargs"),
    *("load_in_4bit", "load_in_8bit"),
)


_TOGETHER = ("ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING")


def merging_config(planned: Mapping[str, Any], revision: str | None = None) -> dict[str, Any]:
    """A config for TRL's parser; `planned` is the ranks' actual or planned one. `revision` is the
    base model's, if it is known more exactly than in the config.
    """
    kept = {key: planned[key] for key in _OF_THE_BASE if key in planned}
    alone = {"output_dir": planned["output_dir"], "use_cpu": True, "bf16": False}
    return kept | alone | ({"model_revision": revision} if revision else {})


def merging_environment(planned: Mapping[str, str]) -> dict[str, str]:
    """The ranks' environment without the variables of a process group."""
    return {name: value for name, value in planned.items() if name not in _TOGETHER}
