# SPDX-License-Identifier: Apache-2.0
"""The kernels that DeepSpeed compiles when training begins, for which an image needs a compiler.

Our profiles need none of them: with torch's optimizers ZeRO uses torch only.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_contract.documents import parse_object
from finetune_contract.reasons import Reason
from finetune_spec.config import SftConfig
from finetune_trainer.failures.errors import attempt_failed

_OWN_ADAM = ("adam", "adamw", "muon")
"""With `torch_adam: true` torch's optimizers replace these."""
_ALWAYS_OWN = ("lamb", "lion")


def compiled_for(options: Mapping[str, Any]) -> str | None:
    """The part of DeepSpeed's config that needs a kernel, in words; None if there is none."""
    zero = _section(options, "zero_optimization")
    devices = {
        key: _section(zero, key).get("device", "none")
        for key in ("offload_optimizer", "offload_param")
    }
    for key, device in devices.items():
        if device == "nvme":
            return f"{key} to nvme"
    is_offloaded = devices["offload_optimizer"] != "none"
    optimizer = _section(options, "optimizer")
    if not optimizer:
        is_replaced = is_offloaded and options.get("zero_force_ds_cpu_optimizer", True)
        return (
            "offload_optimizer without zero_force_ds_cpu_optimizer: false" if is_replaced else None
        )
    kind = str(optimizer.get("type", "")).lower()
    is_torchs = bool(_section(optimizer, "params").get("torch_adam"))
    is_own = (
        kind in _ALWAYS_OWN
        or (kind in _OWN_ADAM and not is_torchs)
        or (kind == "adagrad" and is_offloaded)
    )
    return f"optimizer.type {optimizer['type']}" if is_own else None


def require_compiler(config: SftConfig, *, on_gpu: bool, has: bool | None = None) -> None:
    """
    Raises:
        AttemptFailed: the config needs a kernel, and this image cannot compile one.
    """
    wanted = compiled_for(_options(config["deepspeed"]))
    if wanted is None:
        return
    compiler = "nvcc" if on_gpu else "c++"
    if not (_has_compiler(compiler) if has is None else has):
        raise attempt_failed(
            Reason.DEEPSPEED_NEEDS_COMPILER,
            f"deepspeed: found {wanted}, for which DeepSpeed compiles a kernel when training "
            f"starts, but this trainer image has no {compiler}",
            "remove optimizer from deepspeed to use optim, and set zero_force_ds_cpu_optimizer "
            f"to false, or set spec.image to an image that has {compiler}",
        )


def _options(profile: Any) -> Mapping[str, Any]:
    """DeepSpeed's config, read from its file if it is in one; a later check reports an invalid
    file.
    """
    if isinstance(profile, str):
        try:
            profile = parse_object(Path(profile).read_bytes(), profile)
        except (OSError, ValueError):
            return {}
    return profile if isinstance(profile, Mapping) else {}


def _section(options: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = options.get(key)
    return found if isinstance(found, Mapping) else {}


def _has_compiler(name: str) -> bool:
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return any(shutil.which(name, path=path) for path in (None, f"{home}/bin"))
