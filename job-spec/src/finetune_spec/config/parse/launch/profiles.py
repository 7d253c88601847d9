# SPDX-License-Identifier: Apache-2.0
"""The named profiles, in the format of `accelerate launch --config_file`.

`make generate` writes each of `PROFILES` to `configs/accelerate/`. The job sets the number of
processes and the precision, so a profile contains neither.
"""

from collections.abc import Mapping
from typing import Any

Profile = Mapping[str, Any]

_FSDP: Profile = {
    # Each decoder layer is gathered, used and released; transformers provides their class.
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    # Only the first process of all reads the weights into the host's memory.
    "fsdp_cpu_ram_efficient_loading": True,
    "fsdp_offload_params": False,
    # As in TRL's own profiles: one file, gathered by the first process.
    "fsdp_state_dict_type": "FULL_STATE_DICT",
}

_WHOLE: Profile = {"offload_optimizer_device": "none", "offload_param_device": "none"}
_OFFLOADED: Profile = {"offload_optimizer_device": "cpu", "offload_param_device": "cpu"}
_ZERO_3: Profile = {
    "zero_stage": 3,
    "zero3_init_flag": True,
    # Without it the trained model could not be saved as one file.
    "zero3_save_16bit_model": True,
}

PROFILES: Mapping[str, Profile] = {
    "ddp": {"distributed_type": "MULTI_GPU"},
    "fsdp2": {
        "distributed_type": "FSDP",
        "fsdp_config": {"fsdp_version": 2, "fsdp_reshard_after_forward": True, **_FSDP},
    },
    "zero2": {
        "distributed_type": "DEEPSPEED",
        "deepspeed_config": {"zero_stage": 2, **_WHOLE},
    },
    "zero3": {
        "distributed_type": "DEEPSPEED",
        "deepspeed_config": {**_ZERO_3, **_WHOLE},
    },
    "zero3-offload": {
        "distributed_type": "DEEPSPEED",
        "deepspeed_config": {**_ZERO_3, **_OFFLOADED},
    },
}
"""The profiles that jobs should use."""

_TRL_ONLY: Mapping[str, Profile] = {
    "fsdp1": {
        "distributed_type": "FSDP",
        "fsdp_config": {
            "fsdp_version": 1,
            "fsdp_reshard_after_forward": "FULL_SHARD",
            "fsdp_backward_prefetch": "BACKWARD_PRE",
            "fsdp_forward_prefetch": True,
            "fsdp_sync_module_states": True,
            "fsdp_use_orig_params": True,
            **_FSDP,
        },
    },
    "multi_gpu": PROFILES["ddp"],
    "single_gpu": {"distributed_type": "NO"},
    "zero1": {"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero_stage": 1}},
}
"""Further profiles that `trl sft --accelerate_config` has by name."""

NAMED: Mapping[str, Profile] = {**PROFILES, **_TRL_ONLY}
