# SPDX-License-Identifier: Apache-2.0
"""Several processes: FSDP, DeepSpeed or neither, and the parts that each shards. No I/O here."""

import math
from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, did_you_mean, quoted

_ONLY_FSDP_1 = ("no_shard", "hybrid_shard", "hybrid_shard_zero2")
_WRAP_POLICIES = ("TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP")


def check_one_of_two(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer.__init__` raises."""
    if config["fsdp"] and config["deepspeed"]:
        yield Problem(
            path=config.name("fsdp"),
            message="found together with deepspeed, expected only one of them",
        )


def check_fsdp_words(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments._apply_legacy_fsdp_to_config` raises with FSDP 2, the default."""
    value = config["fsdp"]
    words = value.split() if isinstance(value, str) else ()
    for word in words:
        if word in _ONLY_FSDP_1 and config.fsdp_option("version") in (None, 2):
            yield Problem(
                path=config.name("fsdp"),
                message=f"found {quoted(word)}, which only FSDP 1 supports: write "
                "full_shard, or set fsdp_config.version to 1",
            )


def check_fsdp_options(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments._process_fsdp_args` raises for the policy, `Trainer` for the others."""
    if not config["fsdp"]:
        return
    place = config.name("fsdp_config")
    policy = config.fsdp_option("auto_wrap_policy")
    if policy is not None and policy not in _WRAP_POLICIES:
        hint = did_you_mean(str(policy), _WRAP_POLICIES)
        yield Problem(
            path=f"{place}.auto_wrap_policy",
            message=f"found {quoted(policy)}"
            + (hint or f", expected one of {', '.join(_WRAP_POLICIES)}"),
        )
    if config.recomputes_by_fsdp and config.recomputes_by_trl:
        yield Problem(
            path=f"{place}.activation_checkpointing",
            message="found true together with activation_checkpointing, which is enabled by "
            "default: set that to false",
        )
    if config["save_only_model"] and config.fsdp_option("state_dict_type") == "SHARDED_STATE_DICT":
        yield Problem(
            path=config.name("save_only_model"),
            message='found true together with fsdp_config.state_dict_type: "SHARDED_STATE_DICT", '
            "expected only one of them",
        )


def check_device_map(config: Reading, context: Context) -> Iterator[Problem]:
    """`Accelerator.prepare_model` raises for several processes. A single process would train with
    the rest of the model in host memory or on disk, where it is not trained.
    """
    options = config.mapping("model_init_kwargs")
    if options.get("device_map") is not None:
        yield Problem(
            path=f"{config.name('model_init_kwargs')}.device_map",
            message=f"found {quoted(options['device_map'])}: each process loads the model, or its "
            "share of it, onto its own GPU: remove it",
        )


def check_fsdp_on_cpus(config: Reading, context: Context) -> Iterator[Problem]:
    """On CPUs torch raises for FSDP 1, and its offloading of FSDP 2 looks for a GPU."""
    if not config["fsdp"] or context.gpus_per_node != 0:
        return
    if config.fsdp_option("version") == 1:
        yield Problem(
            path=config.name("fsdp"),
            message="found with FSDP 1 in a job without GPUs, where only FSDP 2 works: set "
            "fsdp_config.version to 2, or accelerate_config to fsdp2",
        )
    elif config.fsdp_option("cpu_offload") or "offload" in str(config["fsdp"]):
        yield Problem(
            path=config.name("fsdp_config" if config["fsdp_config"] else "fsdp"),
            message="found with offloading in a job without GPUs, where everything is on the CPU "
            "already: remove it",
        )


def check_best_of_shards(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer.create_accelerator_and_postprocess` raises."""
    if not (config["save_only_model"] and config["load_best_model_at_end"]):
        return
    for key in ("fsdp", "deepspeed"):
        if config[key]:
            yield Problem(
                path=config.name("save_only_model"),
                message=f"found true together with {key} and load_best_model_at_end: remove it",
            )


def check_token_rows_in_shards(config: Reading, context: Context) -> Iterator[Problem]:
    """PEFT's `TrainableTokensLayer` copies trained rows into an embedding whose shards are of
    another type: `aten.index_copy` and the optimizer raise in the first step.
    """
    if config["fsdp"] and config["use_peft"] and config["added_tokens"]:
        yield Problem(
            path=config.name("added_tokens"),
            message="found together with use_peft: true and FSDP, with which PEFT cannot train "
            "single rows of an embedding: set accelerate_config to ddp or zero2, or remove "
            "use_peft",
        )


def check_quantized_shards(config: Reading, context: Context) -> Iterator[Problem]:
    """FSDP 1 flattens weights of one dtype only; FSDP 2 does not shard such weights (advice)."""
    storage = config["bnb_4bit_quant_storage"]
    is_first = config["fsdp"] and config.fsdp_option("version") == 1
    if is_first and config["load_in_4bit"] and (storage is None or storage != config["dtype"]):
        yield Problem(
            path=config.name("load_in_4bit"),
            message="found true together with FSDP 1, which cannot shard 4-bit weights as "
            "configured: set bnb_4bit_quant_storage and dtype both to bfloat16",
        )


def check_backend(config: Reading, context: Context) -> Iterator[Problem]:
    """`PartialState` raises on CPUs for all backends but Gloo, and torch for those of other
    accelerators.
    """
    backend = config["ddp_backend"]
    if context.gpus_per_node == 0 and backend not in (None, "gloo"):
        yield Problem(
            path=config.name("ddp_backend"),
            message=f"found {quoted(backend)} in a job without GPUs: remove it",
        )
    elif context.gpus_per_node and backend in _NOT_NVIDIA:
        yield Problem(
            path=config.name("ddp_backend"),
            message=f"found {quoted(backend)}, which does not support NVIDIA GPUs: remove it",
        )


_NOT_NVIDIA = ("xccl", "hccl", "cncl", "mccl")


def check_split_batches(config: Reading, context: Context) -> Iterator[Problem]:
    """`accelerate.data_loader.BatchSamplerShard` raises: each process gets its part of a batch."""
    world = context.world_size
    if world is None or not config.mapping("accelerator_config").get("split_batches"):
        return
    keys = ["per_device_train_batch_size"]
    if config.is_evaluated:
        keys.append("per_device_eval_batch_size")
    for key in keys:
        if config.number(key) % world:
            yield Problem(
                path=config.name(key),
                message=f"found {quoted(config[key])}, expected a multiple of the job's {world} "
                "processes, for accelerator_config.split_batches",
            )


def check_accumulation(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer.create_accelerator_and_postprocess` raises because the value is ambiguous."""
    options = config.mapping("accelerator_config").get("gradient_accumulation_kwargs")
    if not isinstance(options, dict) or "num_steps" not in options:
        return
    if config.number("gradient_accumulation_steps") > 1:
        yield Problem(
            path=config.name("gradient_accumulation_steps"),
            message=f"found {quoted(config['gradient_accumulation_steps'])} together with "
            "num_steps in accelerator_config, expected only one of them",
        )


_SIZE = "PARALLELISM_CONFIG_{}_SIZE"
_DIMENSIONS = ("DP_REPLICATE", "DP_SHARD", "TP", "CP", "SP")


def check_parallel_sizes(config: Reading, context: Context) -> Iterator[Problem]:
    """`ParallelismConfig._validate_accelerator` raises, `SFTTrainer.__init__` for packs."""
    environment = config.mapping("env")
    if str(environment.get("ACCELERATE_USE_PARALLELISM_CONFIG")).lower() != "true":
        return
    texts = {name: str(environment.get(_SIZE.format(name), 1)) for name in _DIMENSIONS}
    if not all(text.isdecimal() for text in texts.values()):
        return
    sizes = {name: int(text) for name, text in texts.items()}
    total = math.prod(sizes.values())
    if context.world_size not in (None, total) and total > 1 and sizes["SP"] == 1:
        yield Problem(
            path=config.name("env"),
            message=f"found PARALLELISM_CONFIG sizes whose product is {total}, expected "
            f"{context.world_size}, the number of the job's processes",
        )
    if sizes["CP"] > 1 and (config["packing"] or config["eval_packing"]):
        yield Problem(
            path=config.name("packing" if config["packing"] else "eval_packing"),
            message="found true together with PARALLELISM_CONFIG_CP_SIZE, with which packed rows "
            "cannot be kept apart: set it to false",
        )


RULES = (
    check_one_of_two,
    check_fsdp_words,
    check_fsdp_options,
    check_device_map,
    check_fsdp_on_cpus,
    check_best_of_shards,
    check_quantized_shards,
    check_token_rows_in_shards,
    check_backend,
    check_split_batches,
    check_accumulation,
    check_parallel_sizes,
)
