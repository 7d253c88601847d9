# SPDX-License-Identifier: Apache-2.0
"""What other tools call the same thing with the same values. No I/O here.

LLaMA-Factory, Axolotl, Unsloth, torchtune, Lightning, PEFT, and what people guess. A key of these
is refused all the same: a file of another tool has other defaults, and is better read again.
"""

from collections.abc import Mapping

_NAMES: Mapping[str, str] = {
    "activation_checkpointing": "enable_activation_checkpointing activation_ckpt",
    "activation_offloading": "enable_activation_offloading",
    "adam_beta1": "beta1 beta_1",
    "adam_beta2": "beta2 beta_2",
    "adam_epsilon": "eps epsilon adam_eps",
    "assistant_only_loss": "assistant_loss_only assistant_only train_on_assistant_only",
    "attn_implementation": "attention attn attn_impl attention_implementation",
    "bnb_4bit_quant_type": "quantization_type quant_type bnb_quant_type",
    "completion_only_loss": "completion_only train_on_completions_only train_on_completion_only",
    "dataloader_num_workers": "num_workers dataloader_workers",
    "dataset_config": "subset dataset_subset dataset_config_name data_config",
    "dataset_name": (
        "dataset dataset_id dataset_path dataset_name_or_path data data_path data_file data_files "
        "train_data train_file train_files train_dataset training_data train_path dataset_uri "
        "dataset_url"
    ),
    "dataset_num_proc": (
        "num_proc preprocessing_num_workers dataset_processes preprocessing_num_proc"
    ),
    "dataset_test_split": (
        "test_split eval_split val_split valid_split dataset_eval_split dataset_val_split "
        "dataset_validation_split eval_dataset_split validation_set eval_set"
    ),
    "dataset_text_field": "text_key text_field text_column text_column_name content_field",
    "dataset_train_split": "split training_split dataset_split train_dataset_split",
    "deepspeed": "deepspeed_config ds_config deepspeed_config_file",
    "env": "envs env_vars env_variables environment environment_variables",
    "eval_packing": "eval_sample_packing",
    "eval_steps": "eval_every eval_interval evaluation_steps eval_freq eval_every_n_steps",
    "full_determinism": "deterministic determinism",
    "gradient_accumulation_steps": (
        "gas gradient_accumulation grad_accum grad_acc grad_accum_steps grad_accumulation_steps "
        "accumulation_steps accumulate_grad_batches grad_acc_steps"
    ),
    "gradient_checkpointing": (
        "recompute checkpoint_activations activation_recompute grad_checkpoint grad_checkpointing "
        "grad_ckpt gradient_ckpt use_gradient_checkpointing enable_gradient_checkpointing"
    ),
    "gradient_checkpointing_kwargs": "gc_kwargs",
    "hub_model_id": (
        "hub_name hub_repo_name hf_repo_name hub_model_name hub_repo hub_repo_id hub_id repo_id "
        "repo_name hf_repo hf_repo_id hub_model"
    ),
    "hub_private_repo": "private hub_private private_repo",
    "label_smoothing_factor": "label_smoothing",
    "learning_rate": "lr base_lr max_lr peak_lr initial_lr",
    "load_best_model_at_end": "load_best_model load_best keep_best",
    "load_in_4bit": (
        "quant_4bit bnb_4bit nf4 four_bit load_4bit use_4bit in_4bit int4 load_in_4_bit"
    ),
    "load_in_8bit": "load_8bit use_8bit in_8bit int8 load_in_8_bit",
    "logging_steps": "log_steps log_every log_every_n_steps log_interval log_freq logging_interval",
    "lora_alpha": "alpha peft_lora_alpha lora_a",
    "lora_dropout": "dropout peft_lora_dropout lora_dropout_p",
    "lora_modules_to_save": "modules_to_save",
    "lora_r": "r rank lora_rank lora_dim peft_lora_r lora_rank_r peft_r",
    "lora_target_modules": "target_modules lora_modules lora_targets peft_target_modules",
    "lr_scheduler_kwargs": "scheduler_kwargs lr_scheduler_args",
    "lr_scheduler_type": (
        "lr_decay learning_rate_schedule learning_rate_scheduler lr_scheduler scheduler "
        "scheduler_type lr_schedule lr_decay_style"
    ),
    "max_grad_norm": (
        "clip_norm max_norm max_gradient_norm grad_clip gradient_clip gradient_clip_val "
        "gradient_clipping clip_grad clip_grad_norm grad_norm"
    ),
    "max_length": (
        "cutoff_len sequence_len sequence_length seq_len seq_length max_len max_seq_len "
        "max_sequence_length max_sequence_len model_max_length context_length context_len "
        "context_window block_size max_tokens max_input_length max_token_length max_seqlen"
    ),
    "max_steps": "num_steps total_steps train_steps num_train_steps training_steps max_iters iters",
    "metric_for_best_model": "best_metric monitor",
    "model_name_or_path": (
        "model model_name model_id model_path base_model base_model_name base_model_id "
        "pretrained_model pretrained_model_name_or_path hf_model model_checkpoint model_uri "
        "model_ref model_name_or_dir model_dir"
    ),
    "model_revision": "revision revision_of_model model_version",
    "neftune_noise_alpha": "neftune_noise neftune neftune_alpha noisy_embedding_alpha",
    "num_train_epochs": (
        "number_of_epochs nb_epochs epochs epoch n_epochs num_epochs num_epoch max_epochs "
        "train_epochs"
    ),
    "optim": "optim_type optimizers optimizer optimizer_name optimizer_type",
    "optim_args": "optimizer_args optimizer_kwargs optim_kwargs",
    "packing": "sample_packing packed pack use_packing enable_packing neat_packing",
    "per_device_eval_batch_size": "eval_batch eval_batch_size val_batch_size eval_bs",
    "per_device_train_batch_size": (
        "train_batch train_bs device_batch_size gpu_batch_size batch_size micro_batch_size "
        "train_batch_size micro_batch batch bs batchsize per_device_batch_size "
        "train_micro_batch_size_per_gpu mini_batch_size"
    ),
    "push_to_hub": "push push_to_hf push_to_huggingface upload_to_hub",
    "report_to": "tracker trackers logger loggers log_with report tracking log_to",
    "router_aux_loss_coef": "moe_aux_loss_coef aux_loss_coef",
    "run_name": (
        "experiment experiment_name exp_name wandb_name wandb_run_name mlflow_run_name job_name"
    ),
    "save_steps": (
        "save_every save_interval checkpoint_every checkpoint_interval checkpointing_steps "
        "checkpoint_steps save_freq"
    ),
    "save_total_limit": "save_limit max_checkpoints keep_checkpoints keep_last_n_checkpoints",
    "seed": "random_seed random_state manual_seed rng_seed",
    "shuffle_dataset": "shuffle shuffle_data shuffle_merged_datasets",
    "system_message": (
        "system system_prompt default_system default_system_message default_system_prompt"
    ),
    "torch_compile": "compile compile_model",
    "trust_remote_code": "remote_code allow_remote_code",
    "use_bnb_nested_quant": (
        "double_quantization double_quant use_double_quant bnb_4bit_use_double_quant"
    ),
    "use_dora": "peft_use_dora",
    "use_liger_kernel": "enable_liger_kernel liger liger_kernel",
    "use_peft": "use_lora lora peft enable_lora lora_enable",
    "use_rslora": "peft_use_rslora",
    "warmup_steps": "lr_warmup warmup num_warmup_steps lr_warmup_steps warmup_iters",
    "weight_decay": "wd",
}
"""TRL's key -> what it is called elsewhere."""

OTHER_NAMES: Mapping[str, str] = {
    name: key for key, names in _NAMES.items() for name in names.split()
}
"""What it is called elsewhere -> TRL's key."""
