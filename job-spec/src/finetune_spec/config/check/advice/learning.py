# SPDX-License-Identifier: Apache-2.0
"""Learning rate, duration and amount of data. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning

_LARGEST_USUAL_BATCH = 4096
_USUAL_RATES = {True: (1e-5, 2e-3), False: (1e-6, 1e-4)}
"""Whether an adapter is trained -> the usual learning rates with Adam."""
_USUAL_SCALES = (0.2, 8.0)
"""The usual factors of an adapter's output."""
_FEW_TOKENS = 256
_MANY_EPOCHS = 20


def advise_on_effective_batch(config: Reading, context: Context) -> Iterator[Problem]:
    if context.world_size is None:
        return
    batch = config.effective_batch(context.world_size)
    if batch > _LARGEST_USUAL_BATCH:
        yield warning(
            config.name("per_device_train_batch_size"),
            f"the effective batch is {batch}; few datasets are large enough for an effective "
            f"batch above {_LARGEST_USUAL_BATCH}",
        )


def advise_on_learning_rate(config: Reading, context: Context) -> Iterator[Problem]:
    """Other optimizers have other rates, so only Adam's are known here."""
    rate = config["learning_rate"]
    if not config.is_set("learning_rate") or "adamw" not in str(config["optim"]):
        return
    low, high = _USUAL_RATES[bool(config["use_peft"])]
    if low <= rate <= high:
        return
    what = "an adapter" if config["use_peft"] else "full tuning"
    yield warning(
        config.name("learning_rate"),
        f"{quoted(rate)} is unusual for {what}; {low:g} to {high:g} is typical",
    )


def advise_on_scale_of_adapter(config: Reading, context: Context) -> Iterator[Problem]:
    """PEFT multiplies by alpha / r, unless `use_rslora`."""
    rank, alpha = config.number("lora_r"), config.number("lora_alpha")
    if not config["use_peft"] or config["use_rslora"] or rank <= 0:
        return
    low, high = _USUAL_SCALES
    if not low <= alpha / rank <= high:
        key = "lora_alpha" if config.is_set("lora_alpha") else "lora_r"
        yield warning(
            config.name(key),
            f"the adapter is multiplied by {alpha / rank:g} (lora_alpha / lora_r = {alpha:g} / "
            f"{rank:g}); 1 to 2 is typical",
        )


def advise_on_epochs(config: Reading, context: Context) -> Iterator[Problem]:
    epochs = config.number("num_train_epochs")
    if epochs > _MANY_EPOCHS and config.number("max_steps") <= 0:
        yield warning(
            config.name("num_train_epochs"),
            f"{quoted(config['num_train_epochs'])} epochs are likely to overfit; 1 to 5 are "
            "typical",
        )


def advise_on_truncation(config: Reading, context: Context) -> Iterator[Problem]:
    """TRL cuts longer examples; only these two packing strategies cut nothing off."""
    keeps_ends = config["packing"] and config["packing_strategy"] in ("bfd_split", "wrapped")
    if config["max_length"] is None or keeps_ends:
        return
    if config.number("max_length") < _FEW_TOKENS:
        yield warning(
            config.name("max_length"),
            f"rows longer than {quoted(config['max_length'])} tokens are truncated; the report "
            "counts them",
        )


def advise_on_warmup(config: Reading, context: Context) -> Iterator[Problem]:
    steps, warmup = config.number("max_steps"), config.number("warmup_steps")
    if 0 < steps <= warmup and warmup >= 1:
        yield warning(
            config.name("warmup_steps"),
            f"the warmup covers all of max_steps: {quoted(config['max_steps'])}; the learning "
            "rate never reaches its configured value",
        )


def advise_on_dtype(config: Reading, context: Context) -> Iterator[Problem]:
    """bf16 is on unless fp16 is set: weights would be in one half type, computation in the
    other.
    """
    is_bf16 = not config["fp16"] if config["bf16"] is None else config["bf16"]
    if config["dtype"] == "float16" and is_bf16 and context.gpus_per_node != 0:
        yield warning(
            config.name("dtype"),
            'the weights are in "float16", but computation is in bf16: set it to "bfloat16"',
        )


def advise_on_overridden_loading(config: Reading, context: Context) -> Iterator[Problem]:
    """`sft.py` overrides the values of these keys with `model_init_kwargs`."""
    overrides = config.mapping("model_init_kwargs")
    same = {"dtype": "dtype", "attn_implementation": "attn_implementation"}
    for key, other in {**same, "model_revision": "revision"}.items():
        if config.is_set(key) and other in overrides and overrides[other] != config[key]:
            yield warning(
                config.name(key),
                f"model_init_kwargs.{other}: {quoted(overrides[other])} will be used instead",
            )


ADVICE = (
    advise_on_effective_batch,
    advise_on_learning_rate,
    advise_on_scale_of_adapter,
    advise_on_epochs,
    advise_on_truncation,
    advise_on_warmup,
    advise_on_dtype,
    advise_on_overridden_loading,
)
