# SPDX-License-Identifier: Apache-2.0
"""Keys of older TRL and transformers, which still work if they have a meaning. No I/O here.

`OLDER` keys have another name today, and the same values. `RETIRED` keys no longer exist: at their
old default, or if they never changed the result, they are dropped; otherwise they are an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OLDER: Mapping[str, str] = {
    "dataset_id_or_path": "dataset_name",
    "evaluation_strategy": "eval_strategy",
    "fine_tune_tag": "run_name",
    "max_seq_length": "max_length",
    "no_cuda": "use_cpu",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "push_to_hub_model_id": "hub_model_id",
    "torch_dtype": "dtype",
    "train_split": "dataset_train_split",
    "upload_to_hf": "push_to_hub",
    "use_liger": "use_liger_kernel",
    "validation_split": "dataset_test_split",
    "warmup_ratio": "warmup_steps",
}
"""Older keys in use -> TRL's current name. A ratio is a number of steps below 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A key that no longer exists."""

    instead: str
    """Why it is no longer needed, or the replacement."""
    harmless: tuple[Any, ...] | None = ()
    """Values that, like null, do not change the run; None if no value does."""

    def is_harmless(self, value: Any) -> bool:
        return value is None or self.harmless is None or value in self.harmless


_ONE_PRECISION = "precision is set by bf16 and fp16 alone"
_WHOLE_ROWS = "TRL tokenizes and packs complete rows"
_NO_TPU = "trainers run on GPUs and CPUs"
_FSDP = "write it into fsdp_config"

RETIRED: Mapping[str, Retired] = {
    "_n_gpu": Retired(instead="GPUs are requested in spec.resources.gpusPerNode", harmless=None),
    "adafactor": Retired(instead="write optim: adafactor", harmless=(False,)),
    "cache_dir": Retired(instead="the cache is in the pod's own working directory", harmless=None),
    "chars_per_token": Retired(instead=_WHOLE_ROWS, harmless=None),
    "dataset_batch_size": Retired(instead=_WHOLE_ROWS, harmless=None),
    "dispatch_batches": Retired(instead="write accelerator_config: {dispatch_batches: ...}"),
    "evaluate_during_training": Retired(instead="write eval_strategy: steps", harmless=(False,)),
    "fp16_backend": Retired(instead=_ONE_PRECISION, harmless=("auto", "amp", "cuda_amp")),
    "fp16_opt_level": Retired(instead=_ONE_PRECISION, harmless=None),
    "fsdp_min_num_params": Retired(instead=f"{_FSDP}: {{min_num_params: ...}}", harmless=(0,)),
    "fsdp_transformer_layer_cls_to_wrap": Retired(
        instead=f"{_FSDP}: {{transformer_layer_cls_to_wrap: [...]}}"
    ),
    "group_by_length": Retired(
        instead="write train_sampling_strategy: group_by_length", harmless=(False,)
    ),
    "half_precision_backend": Retired(instead=_ONE_PRECISION, harmless=("auto", "cuda_amp")),
    "include_inputs_for_metrics": Retired(
        instead="write include_for_metrics: [inputs]", harmless=(False,)
    ),
    "include_tokens_per_second": Retired(
        instead="tokens per second are in every job's status", harmless=None
    ),
    "jit_mode_eval": Retired(instead="write torch_compile: true", harmless=(False,)),
    "logging_dir": Retired(
        instead="for TensorBoard write env: {TENSORBOARD_LOGGING_DIR: ...}", harmless=None
    ),
    "mp_parameters": Retired(instead="it was specific to SageMaker", harmless=("",)),
    "num_of_sequences": Retired(instead=_WHOLE_ROWS, harmless=None),
    "overwrite_output_dir": Retired(instead="every run has its own directory", harmless=None),
    "past_index": Retired(instead="no model that TRL supports has such a memory", harmless=(-1,)),
    "push_to_hub_organization": Retired(instead="write hub_model_id: organization/name"),
    "ray_scope": Retired(instead="hyperparameter search is not supported", harmless=None),
    "save_safetensors": Retired(
        instead="weights are always saved as safetensors", harmless=(True,)
    ),
    "sharded_ddp": Retired(instead="write fsdp or deepspeed", harmless=("", False, [])),
    "split_batches": Retired(
        instead="write accelerator_config: {split_batches: true}", harmless=(False,)
    ),
    "torchdynamo": Retired(instead="write torch_compile_backend"),
    "tpu_metrics_debug": Retired(instead=_NO_TPU, harmless=(False,)),
    "tpu_num_cores": Retired(instead=_NO_TPU),
    "use_ipex": Retired(instead="transformers no longer uses it", harmless=(False,)),
    "use_legacy_prediction_loop": Retired(instead="there is one loop only", harmless=None),
    "use_mps_device": Retired(instead=_NO_TPU, harmless=(False,)),
    "xpu_backend": Retired(instead="write ddp_backend"),
}
"""Former keys of TRL or transformers -> their replacement."""


def modernize(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The config with current spellings, and current spelling -> the older one that was used.

    If both are set the newer one counts; retired keys without an effect are dropped.
    """
    modern = {
        key: value
        for key, value in config.items()
        if key not in OLDER and not (key in RETIRED and RETIRED[key].is_harmless(value))
    }
    used = {}
    for old, new in OLDER.items():
        if old in config and new not in config:
            modern[new] = config[old]
            used[new] = old
    return modern, used
