# SPDX-License-Identifier: Apache-2.0
"""The keys of an accelerate config, and their equivalents in SFTConfig. No I/O here.

From accelerate 1.15, in `commands/`: `config/config_args.py` (`ClusterConfig`), `config/cluster.py`
(the keys that the questionnaire writes) and `launch.py` (further keys of a file).
"""

from collections.abc import Mapping
from dataclasses import dataclass

BOOLEAN, INTEGER, NUMBER, STRING, NULL = "boolean", "integer", "number", "string", "null"
SWITCH = (BOOLEAN, NULL)
TEXT = (STRING, NULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One key of a section."""

    types: tuple[str, ...]
    place: str = ""
    """The equivalent option of `fsdp_config`, or the dotted place in `deepspeed`."""
    variable: str = ""
    """The equivalent environment variable, if SFTConfig has no key for it."""


STRATEGIES = ("NO", "MULTI_GPU", "MULTI_CPU", "FSDP", "DEEPSPEED")
SHARDED_BY: Mapping[str, str] = {"fsdp_config": "FSDP", "deepspeed_config": "DEEPSPEED"}
"""Section -> the strategy that reads it."""

PRECISIONS = ("no", "bf16", "fp16")

FSDP: Mapping[str, Option] = {
    "fsdp_version": Option(types=(INTEGER,), place="version"),
    "fsdp_activation_checkpointing": Option(types=SWITCH, place="activation_checkpointing"),
    "fsdp_activation_checkpointing_offload": Option(
        types=SWITCH, variable="FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD"
    ),
    "fsdp_auto_wrap_policy": Option(types=TEXT, place="auto_wrap_policy"),
    "fsdp_backward_prefetch": Option(types=TEXT, place="backward_prefetch"),
    "fsdp_backward_prefetch_policy": Option(types=TEXT, place="backward_prefetch"),
    "fsdp_cpu_ram_efficient_loading": Option(types=SWITCH, place="cpu_ram_efficient_loading"),
    "fsdp_forward_prefetch": Option(types=SWITCH, place="forward_prefetch"),
    "fsdp_ignored_modules": Option(types=TEXT, variable="FSDP_IGNORED_MODULES"),
    "fsdp_min_num_params": Option(types=(INTEGER, NULL), place="min_num_params"),
    "fsdp_offload_params": Option(types=SWITCH, place="cpu_offload"),
    "fsdp_reshard_after_forward": Option(
        types=(BOOLEAN, STRING, NULL), place="reshard_after_forward"
    ),
    "fsdp_sharding_strategy": Option(types=(STRING, INTEGER, NULL), place="reshard_after_forward"),
    "fsdp_state_dict_type": Option(types=TEXT, place="state_dict_type"),
    "fsdp_sync_module_states": Option(types=SWITCH, place="sync_module_states"),
    "fsdp_transformer_layer_cls_to_wrap": Option(
        types=(STRING, "array", NULL), place="transformer_layer_cls_to_wrap"
    ),
    "fsdp_use_orig_params": Option(types=SWITCH, place="use_orig_params"),
}

_LAUNCHER = Option(types=TEXT)
"""How `accelerate launch` reaches other machines: here the operator starts every process."""

DEEPSPEED: Mapping[str, Option] = {
    "deepspeed_config_file": Option(types=TEXT),
    "deepspeed_exclusion_filter": _LAUNCHER,
    "deepspeed_hostfile": _LAUNCHER,
    "deepspeed_inclusion_filter": _LAUNCHER,
    "deepspeed_moe_layer_cls_names": Option(
        types=TEXT, variable="ACCELERATE_DEEPSPEED_MOE_LAYER_CLS_NAMES"
    ),
    "deepspeed_multinode_launcher": _LAUNCHER,
    "gradient_accumulation_steps": Option(
        types=(INTEGER, STRING, NULL), place="gradient_accumulation_steps"
    ),
    "gradient_clipping": Option(types=(NUMBER, STRING, NULL), place="gradient_clipping"),
    "offload_optimizer_device": Option(
        types=TEXT, place="zero_optimization.offload_optimizer.device"
    ),
    "offload_optimizer_nvme_path": Option(
        types=TEXT, place="zero_optimization.offload_optimizer.nvme_path"
    ),
    "offload_param_device": Option(types=TEXT, place="zero_optimization.offload_param.device"),
    "offload_param_nvme_path": Option(
        types=TEXT, place="zero_optimization.offload_param.nvme_path"
    ),
    # SFTConfig's `deepspeed` always shards a model of stage 3 while loading it.
    "zero3_init_flag": Option(types=SWITCH),
    "zero3_save_16bit_model": Option(
        types=SWITCH, place="zero_optimization.stage3_gather_16bit_weights_on_model_save"
    ),
    "zero_stage": Option(types=(INTEGER, NULL), place="zero_optimization.stage"),
}

DYNAMO: Mapping[str, Option] = {
    "dynamo_backend": Option(types=TEXT, place="torch_compile_backend"),
    "dynamo_mode": Option(types=TEXT, place="torch_compile_mode"),
    "dynamo_use_dynamic": Option(types=SWITCH, variable="ACCELERATE_DYNAMO_USE_DYNAMIC"),
    "dynamo_use_fullgraph": Option(types=SWITCH, variable="ACCELERATE_DYNAMO_USE_FULLGRAPH"),
    "dynamo_use_regional_compilation": Option(
        types=SWITCH, variable="ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION"
    ),
}

PARALLELISM: Mapping[str, Option] = {
    f"parallelism_config_{name}": Option(
        types=(INTEGER, STRING, BOOLEAN, NULL), variable=f"PARALLELISM_CONFIG_{name.upper()}"
    )
    for name in (
        *("dp_replicate_size", "dp_shard_size", "tp_size", "cp_size", "cp_backend"),
        *("cp_comm_strategy", "sp_size", "sp_backend", "sp_seq_length"),
        *("sp_seq_length_is_variable", "sp_attn_implementation"),
    )
}

SECTIONS: Mapping[str, Mapping[str, Option]] = {
    "fsdp_config": FSDP,
    "deepspeed_config": DEEPSPEED,
    "dynamo_config": DYNAMO,
    "parallelism_config": PARALLELISM,
}

TOP: Mapping[str, Option] = {
    "debug": Option(types=SWITCH, variable="ACCELERATE_DEBUG_MODE"),
    "enable_cpu_affinity": Option(types=SWITCH, variable="ACCELERATE_CPU_AFFINITY"),
    "use_cpu": Option(types=SWITCH),
    "num_processes": Option(types=(INTEGER, NULL)),
    "num_machines": Option(types=(INTEGER, NULL)),
}
"""The keys outside the sections whose type is checked."""

JOBS_OWN = (
    *("machine_rank", "gpu_ids", "main_process_ip", "main_process_port", "rdzv_backend"),
    *("mpirun_config", "num_cpu_threads_per_process"),
)
"""How processes find each other and their GPUs: the operator overrides the file."""

WITHOUT_EFFECT = (
    *("main_training_function", "same_network", "downcast_bf16", "compute_environment"),
    *("tpu_env", "tpu_use_sudo", "tpu_name", "tpu_zone", "tpu_vm", "command_file", "commands"),
)
"""Keys that do not affect our processes on GPUs and CPUs."""

ELSEWHERE: Mapping[str, str] = {
    "fp8_config": "TRL does not support fp8: leave it out",
    "ipex_config": "trainers do not support IPEX: leave it out",
    "megatron_lm_config": "trainers do not support Megatron-LM: use FSDP or DeepSpeed",
    "tpu_use_cluster": "trainers run on GPUs and CPUs: leave it out",
}
"""Features that a trainer does not support."""

KEYS = (
    *("distributed_type", "mixed_precision"),
    *TOP,
    *SECTIONS,
    *JOBS_OWN,
    *WITHOUT_EFFECT,
    *ELSEWHERE,
)
