# SPDX-License-Identifier: Apache-2.0
"""Keys of other tools whose values differ, or that TRL has none for: what to write. No I/O here.

Each answer ends the sentence `not a key of TRL's SFT config, ...`.
"""

from collections.abc import Mapping
from typing import Any

from finetune_spec.config.suggest.other_values import FREEZING, LEAVE_OUT, answer_by_value

_ONE_SOURCE = f"{LEAVE_OUT}: model and tokenizer both come from model_name_or_path"
_ATTENTION = "write attn_implementation, such as flash_attention_2 or sdpa"
_TEMPLATE = (
    f"{LEAVE_OUT} for the model's own chat template, or write chat_template_path: a name such as "
    "chatml, a Jinja file, or a model whose template is taken"
)
_LOSS = (
    "write assistant_only_loss for conversations, completion_only_loss for prompts with completions"
)
_SHAPE = (
    "write dataset_columns, such as {prompt: question, completion: answer}, or dataset_format; "
    "TRL's own columns need neither"
)
_EVAL_DATA = "write dataset_test_split: evaluation takes a split of the same data set"
_EVAL_SHARE = "write test_split_size, a share such as 0.1"
_EVALUATE = "write eval_strategy: steps, or epoch"
_ROWS = "write datasets, with a slice in split: [{path: ..., split: 'train[:1000]'}]"
_OUTPUT = "set spec.output.uri instead"
_RESUME = f"{LEAVE_OUT}: every attempt resumes from the newest complete checkpoint"
_SECRET = "put it into the Secret that spec.output.credentialsSecretRef names, as"
_SFT_ONLY = f"{LEAVE_OUT}: a FineTuneJob is supervised fine-tuning"
_EARLY = "write early_stopping_patience, a number of evaluations"
_GENERATION = f"{LEAVE_OUT}: no key here says how text is generated"
_LORA_EXTRAS = f"{LEAVE_OUT}: TRL's config has no key for it, and PEFT's default holds"
_DEVICE = f"{LEAVE_OUT}: every process has the one GPU that it is given"
_REPORT = f"{LEAVE_OUT}: every run's report has the loss curve"
_PRECISION = "write bf16: true or fp16: true, and dtype for the weights themselves"
_TOKENS = "write added_tokens, a list, or eos_token for the one that ends an answer"
_BATCH = "write per_device_train_batch_size and gradient_accumulation_steps, its parts"
_DATA_CACHE = f"{LEAVE_OUT}: the data is prepared anew in every pod"


def _environment(variable: str) -> str:
    return f"write env: {{{variable}: ...}}"


_ANSWERS: Mapping[str, str] = {
    _ONE_SOURCE: (
        "tokenizer tokenizer_name tokenizer_name_or_path tokenizer_path tokenizer_type "
        "tokenizer_use_fast tokenizer_config tokenizer_legacy use_fast_tokenizer use_fast "
        "model_type model_class base_model_config is_llama_derived_model is_mistral_derived_model "
        "is_qwen_derived_model is_falcon_derived_model model_code_revision config_name processor "
        "processing_class"
    ),
    _ATTENTION: (
        "flash_attn flash_attention flash_attention_2 use_flash_attention use_flash_attention_2 "
        "use_flash_attn use_flash_attn_2 sdp_attention xformers_attention flex_attention "
        "eager_attention use_xformers flash sdpa xformers attention_type"
    ),
    _TEMPLATE: (
        "template chat_template chat_template_jinja prompt_style prompt_format chat_template_name"
    ),
    _LOSS: (
        "train_on_inputs train_on_prompt train_on_source train_on_responses_only "
        "train_on_completions train_on_responses mask_prompt mask_inputs mask_user_turns "
        "mask_history roles_to_train train_on_eos response_template instruction_template"
    ),
    _SHAPE: (
        "dataset_type data_format formatting_func formatting_function prompt_column "
        "response_column completion_column messages_column messages_field input_column "
        "output_column prompt response instruction prompt_key response_key prompt_field "
        "completion_field conversation_column tool_format auto_insert_empty_system_msg"
    ),
    _EVAL_DATA: (
        "eval_dataset eval_data eval_file val_dataset val_data val_file validation_data "
        "validation_file validation_dataset test_dataset test_datasets test_file test_data"
    ),
    _EVAL_SHARE: (
        "val_size val_set_size validation_size test_size eval_size val_ratio eval_ratio "
        "validation_split_percentage train_test_split test_set_size split_ratio"
    ),
    _EVALUATE: "evaluate evaluation do_evaluation eval run_eval",
    "write eval_strategy: steps and eval_steps, a share of all steps such as 0.1": (
        "evals_per_epoch num_evals"
    ),
    "write save_strategy: steps and save_steps, a share of all steps such as 0.1": (
        "saves_per_epoch num_saves"
    ),
    _ROWS: (
        "max_samples max_train_samples max_eval_samples num_samples train_samples "
        "num_train_samples train_dataset_sample"
    ),
    "write datasets: [{path: ..., fraction: 0.5}]": (
        "dataset_mixer dataset_mixture interleave_probs mix_strategy dataset_weights dataset_splits"
    ),
    "write the whole place in dataset_name, such as s3://datasets/balloon": (
        "dataset_dir data_dir media_dir dataset_root dataset_base_path"
    ),
    _OUTPUT: (
        "results_dir result_dir outputs output_folder ckpt_dir output_path output_directory "
        "out_dir save_dir save_path checkpoint_dir checkpoint_path export_dir model_save_path "
        "adapter_path"
    ),
    _RESUME: (
        "resume_from_ckpt resume resume_checkpoint resume_from auto_resume "
        "auto_resume_from_checkpoints resume_training from_checkpoint"
    ),
    f"{_SECRET} HF_TOKEN": (
        "hf_token hf_hub_token huggingface_token huggingface_hub_token use_auth_token auth_token "
        "hf_use_auth_token token push_to_hub_token api_token"
    ),
    f"{_SECRET} WANDB_API_KEY": "wandb_api_key wandb_key wandb_token",
    f"{_SECRET} COMET_API_KEY": "comet_api_key",
    f"{_SECRET} SWANLAB_API_KEY": "swanlab_api_key",
    f"{_SECRET} AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY": (
        "aws_access_key_id aws_secret_access_key s3_access_key s3_secret_key"
    ),
    _SFT_ONLY: (
        "stage rl rl_beta task task_type training_stage beta reward_model ref_model pref_beta "
        "pref_loss max_prompt_length max_completion_length num_generations loss ppo_epochs kl_coef "
        "process_reward_model trainer sft_type use_vllm"
    ),
    FREEZING: (
        "freeze_trainable_layers freeze_trainable_modules freeze_extra_modules unfrozen_parameters "
        "freeze_layers freeze num_freeze_layers freeze_language_model "
        "freeze_vision_tower freeze_multi_modal_projector train_from_scratch random_init_weights"
    ),
    _EARLY: "early_stopping early_stopping_steps early_stop",
    _GENERATION: (
        "predict_with_generate generation_max_length generation_num_beams generation_config "
        "max_new_tokens temperature top_p top_k do_sample num_beams sortish_sampler eval_num_beams "
        "generation_max_new_tokens repetition_penalty"
    ),
    _LORA_EXTRAS: (
        "lora_init init_lora_weights peft_init_lora_weights pissa_init loftq_config "
        "loraplus_lr_ratio loraplus_lr_embedding layers_to_transform peft_layers_to_transform "
        "layer_replication lora_on_cpu lora_fan_in_fan_out fan_in_fan_out"
    ),
    f"{LEAVE_OUT}: TRL's LoRA trains no biases": "lora_bias bias",
    "write lora_target_modules: all-linear, or a list of modules": (
        "lora_target lora_target_linear target_linear"
    ),
    "write lora_modules_to_save, a list of modules": "additional_target",
    _DEVICE: (
        "device device_map max_memory gpu_memory_limit cuda_visible_devices gpu_ids "
        "quantization_device_map"
    ),
    _REPORT: "plot_loss",
    "write merge_adapter: true": (
        "merge_lora merge merge_weights merge_and_unload save_merged merged_save save_method"
    ),
    f"{LEAVE_OUT}: training starts from model_name_or_path, without another adapter": (
        "adapter_name_or_path lora_model_dir peft_model_id adapter_folder adapter_model "
        "create_new_adapter"
    ),
    _DATA_CACHE: (
        "overwrite_cache tokenized_path dataset_prepared_path dataset_cache_dir "
        "preprocessing_batch_size dataset_keep_in_memory load_from_cache_file"
    ),
    _BATCH: "global_batch_size total_batch_size effective_batch_size",
    "write warmup_steps, which is a share of all steps where it is below 1": (
        "warmup_proportion warmup_percent warmup_fraction warmup_pct"
    ),
    "write deepspeed: {zero_optimization: {stage: ...}}": (
        "deepspeed_stage zero_stage zero zero2 zero3 deepspeed_zero deepspeed_zero_stage"
    ),
    "write it into deepspeed, a mapping": "zero_optimization zero_force_ds_cpu_optimizer",
    f"{LEAVE_OUT}: each process has a whole model, or with FSDP or DeepSpeed a share of it": (
        "tensor_model_parallel_size pipeline_model_parallel_size tensor_parallel_size tp_size"
    ),
    "write use_liger_kernel: true": (
        "liger_rope liger_rms_norm liger_glu_activation liger_fused_linear_cross_entropy"
    ),
    f"{LEAVE_OUT}: the model's own config.json says how far its positions reach": (
        "rope_scaling rope_theta use_longlora"
    ),
    "write max_length, which holds for the whole row": (
        "max_source_length max_target_length max_answer_length"
    ),
    "write learning_rate itself": "learning_rate_multiplier lr_multiplier",
    "write run_name": "project_name suffix",
    f"{LEAVE_OUT}: unknown keys are always refused": "strict",
    "write the keys of that file here": "config config_file config_path yaml_config",
    "write fsdp, and what belongs to it into fsdp_config": (
        "fsdp_strategy fsdp_sharding_strategy sharding_strategy fsdp_version"
    ),
    "write accelerate_config: ddp, fsdp2, zero2 or zero3": (
        "strategy distributed_strategy distributed distributed_type ddp accelerate"
    ),
    f"{LEAVE_OUT}: TRL's config knows no fp8": "fp8 fp8_backend",
    _PRECISION: (
        "half_precision bf16_training precision mixed_precision amp fp32 autocast compute_type"
    ),
    "write dtype: bfloat16": "pure_bf16 bfloat16",
    "write dtype: float16": "float16 half",
    "write dtype, in which quantized layers compute": "bnb_4bit_compute_dtype compute_dtype",
    "write load_in_4bit: true or load_in_8bit: true": (
        "quantization quantization_bit quantization_method quantization_config quantize bits "
        "bnb_config bitsandbytes load_in quant bnb"
    ),
    "write use_peft: true for LoRA, nothing for full tuning": (
        "finetuning_type fine_tuning_type tuning_type tuner method training_type train_type "
        "adapter full_finetuning peft_type peft_method finetuning_method"
    ),
    "write use_peft: true and load_in_4bit: true": "qlora use_qlora enable_qlora",
    "write gradient_checkpointing: true or false": (
        "disable_gradient_checkpointing use_unsloth_gc gradient_checkpointing_enable"
    ),
    "write gradient_checkpointing_kwargs: {use_reentrant: ...}": (
        "use_reentrant use_reentrant_gc gradient_checkpointing_use_reentrant"
    ),
    "write loss_type: dft": "use_dft_loss dft_loss dft",
    "write optim: galore_adamw, with optim_target_modules": "use_galore galore galore_target",
    "write optim_args: rank=128,scale=0.25": "galore_rank galore_scale apollo_rank apollo_scale",
    "write optim: apollo_adamw, with optim_target_modules": "use_apollo apollo apollo_target",
    f"{LEAVE_OUT}: optim names every optimizer that there is": (
        "use_badam use_adam_mini use_muon muon"
    ),
    "write lr_scheduler_type: cosine_with_min_lr and lr_scheduler_kwargs: {min_lr_rate: 0.1}": (
        "cosine_min_lr_ratio min_lr_ratio min_lr_rate"
    ),
    "write lr_scheduler_type: cosine_with_min_lr and lr_scheduler_kwargs: {min_lr: ...}": (
        "min_lr lr_min min_learning_rate"
    ),
    f"{LEAVE_OUT}: it needs a library that the trainer does not have": (
        "use_unsloth unsloth use_mca plugins lora_mlp_kernel lora_qkv_kernel lora_o_kernel relora "
        "relora_steps shift_attn mixture_of_depths use_llama_pro"
    ),
    _TOKENS: (
        "special_tokens add_tokens add_special_tokens additional_special_tokens "
        "new_tokens tokens eot_tokens bos_token unk_token resize_vocab "
        "resize_token_embeddings_to_32x"
    ),
    f"{LEAVE_OUT}: TRL pads on the right": "padding_side",
    "write pad_to_multiple_of: TRL pads to the longest row of a batch": (
        "pad_to_sequence_len pad_to_max_length padding"
    ),
    f"{LEAVE_OUT}: TRL cuts rows off at their end": "truncation_side truncation",
    "write train_sampling_strategy: sequential": "disable_shuffling curriculum_sampling no_shuffle",
    "write report_to: wandb": "use_wandb wandb enable_wandb",
    "write report_to: tensorboard": "use_tensorboard tensorboard",
    "write report_to: comet_ml": "use_comet comet",
    "write report_to: swanlab": "use_swanlab swanlab",
    "write report_to: mlflow": "use_mlflow mlflow",
    _environment("WANDB_PROJECT"): "wandb_project wandb_project_name",
    _environment("WANDB_ENTITY"): "wandb_entity",
    _environment("WANDB_MODE"): "wandb_mode",
    _environment("WANDB_WATCH"): "wandb_watch",
    _environment("WANDB_LOG_MODEL"): "wandb_log_model",
    _environment("MLFLOW_TRACKING_URI"): "mlflow_tracking_uri",
    _environment("MLFLOW_EXPERIMENT_NAME"): "mlflow_experiment_name",
    _environment("COMET_PROJECT_NAME"): "comet_project_name comet_project",
    _environment("SWANLAB_PROJECT"): "swanlab_project",
    _environment("SWANLAB_MODE"): "swanlab_mode",
}
"""What to write -> the keys that want it."""

OTHER_TOOLS: Mapping[str, str] = {
    key: answer for answer, keys in _ANSWERS.items() for key in keys.split()
}
"""Key of another tool -> what to write."""


def answer_for(key: str, value: Any) -> str | None:
    """What to write instead of another tool's key with this value; None where it is no such key."""
    if key not in OTHER_TOOLS:
        return None
    return answer_by_value(key, value) or OTHER_TOOLS[key]
