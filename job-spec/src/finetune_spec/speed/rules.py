# SPDX-License-Identifier: Apache-2.0
"""Changes that make a run faster, one rule for each: the table `RULES`. No I/O here.

A rule returns None if it does not apply or has no figure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from finetune_spec.attention import EAGER
from finetune_spec.config.check.rules.data import streams_by
from finetune_spec.memory.ladder import ACCUMULATION, BATCH, ConfigChanges
from finetune_spec.memory.micro_batch import find_micro_batches
from finetune_spec.memory.strategy import FLOAT32, HALF
from finetune_spec.quantities import render_bytes
from finetune_spec.speed.operations import (
    COLLATING,
    GPU_RATE,
    cast_bytes,
    computing_seconds,
    repeated_share,
)
from finetune_spec.speed.situation import Situation

BUSY_TOKENS = 8192
"""Tokens of a pass from which reading the weights takes little time compared to computing with
them. A rule of thumb.
"""

ENOUGH_TOKENS = 2048
"""Tokens of a pass below which no other rule may reduce it."""

_NOTICEABLE = 0.05
"""Savings below this share of the time are not reported."""

_WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Keys to set, with the figure that justifies it."""

    settings: ConfigChanges
    """The changes, by TRL's names."""
    figure: str
    """The reduced quantity, and the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRule:
    """One way to be faster."""

    find: Callable[[Situation], Advice | None]
    """None if it does not apply."""
    keeps_result: bool
    """Whether the training result stays the same, as docs/user/memory.md defines that."""


def _half_precision(now: Situation) -> Advice | None:
    """For frozen weights: autocast keeps no cast of a weight that is not trained."""
    strategy = now.strategy
    is_cast = strategy.weight_bytes == FLOAT32 and strategy.compute_bytes == HALF
    if strategy.lora is None or not is_cast or now.config["fp16"] or _loads_otherwise(now):
        return None
    settings = {"dtype": "bfloat16"}
    spared = now.estimate.total - now.adjusted(settings).estimate.total
    return Advice(
        settings=settings,
        figure=f"frozen weights in float32 need {render_bytes(spared)} more, and each forward pass "
        f"casts them again ({render_bytes(cast_bytes(now.model))} read and written); values "
        "between layers become bfloat16, too",
    )


def _torchs_attention(now: Situation) -> Advice | None:
    if now.config.attention != EAGER or now.model.softcaps_attention:
        return None
    if "attn_implementation" in now.config.mapping("model_init_kwargs"):
        return None
    settings = {"attn_implementation": "sdpa"}
    before, after = now.estimate, now.adjusted(settings).estimate
    return Advice(
        settings=settings,
        figure="eager attention writes its scores for all pairs of tokens: "
        f"{render_bytes(before.total)} are estimated on each GPU, {render_bytes(after.total)} "
        "without",
    )


def _no_recomputation(now: Situation) -> Advice | None:
    """Uses a smaller micro-batch if required: few large passes save less than this does."""
    is_known = now.gpu_bytes is not None
    if not is_known or not now.config.recomputes_by_trl or now.config.recomputes_by_fsdp:
        return None
    off = {now.config.recomputation_key(): False}
    if now.adjusted(off).strategy.is_offloading:
        return None
    candidates = _with_micro_batches(now, off)
    settings = next((it for it in candidates if _is_large_and_fits(now, it)), None)
    if settings is None:
        return None
    then = now.adjusted(settings)
    share = repeated_share(now.model, now.strategy)
    return Advice(
        settings=settings,
        figure=f"recomputing activations takes {share:.0%} of all operations, and keeping them "
        f"fits: {_of_gpu(then)}",
    )


def _with_micro_batches(now: Situation, off: ConfigChanges) -> Iterator[ConfigChanges]:
    """The config's own micro-batch, then smaller ones."""
    yield off
    if not _batch_is_elsewhere(now):
        batches = find_micro_batches(now.config)
        yield from ({**off, **it} for it in batches if it[BATCH] < now.config[BATCH])


def _is_large_and_fits(now: Situation, settings: ConfigChanges) -> bool:
    then = now.adjusted(settings)
    # An automatic micro-batch is reduced automatically.
    is_as_before = BATCH not in settings and not now.config.has_auto_batch
    return then.has_room and (is_as_before or then.strategy.tokens >= ENOUGH_TOKENS)


def _larger_micro_batch(now: Situation) -> Advice | None:
    """For rows without padding: a larger batch of padded rows computes more padding."""
    before, passes = now.config[BATCH], now.config[ACCUMULATION]
    is_busy = now.strategy.tokens >= BUSY_TOKENS
    if passes == 1 or is_busy or not (now.config["packing"] or now.config.has_flat_rows):
        return None
    if _batch_is_elsewhere(now):
        return None
    larger = (it for it in find_micro_batches(now.config) if it[BATCH] > before)
    settings = next((it for it in larger if now.adjusted(it).has_room), None)
    if settings is None:
        return None
    return Advice(
        settings=settings,
        figure=f"a step takes {_passes(settings[ACCUMULATION])} over the weights instead of "
        f"{passes}, with the same rows, and fits: {_of_gpu(now.adjusted(settings))}",
    )


def _workers(now: Situation) -> Advice | None:
    """A worker collates while the GPU computes; without one the GPU waits for it."""
    if now.config["dataloader_num_workers"] or streams_by(now.config):
        return None
    seconds = COLLATING[now.config.has_flat_rows]
    share = seconds / computing_seconds(now.model, now.strategy)
    if share < _NOTICEABLE:
        return None
    return Advice(
        settings={"dataloader_num_workers": _WORKERS},
        figure=f"the GPU waits for collating, about {share:.1g} of the time that it computes "
        f"(1 token: {seconds * 1e6:g} us on a CPU; GPU: {GPU_RATE / 1e12:g} TFLOP/s)",
    )


RULES = (
    SpeedRule(find=_half_precision, keeps_result=False),
    SpeedRule(find=_torchs_attention, keeps_result=True),
    SpeedRule(find=_no_recomputation, keeps_result=True),
    SpeedRule(find=_larger_micro_batch, keeps_result=True),
    SpeedRule(find=_workers, keeps_result=True),
)
"""In this order: each rule gets a config with the settings of the previous ones."""

_SET_BY_DEEPSPEED = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
)
"""Keys of its own config that would contradict another micro-batch."""


def _batch_is_elsewhere(now: Situation) -> bool:
    """Whether the micro-batch is set outside this config."""
    return now.config.has_auto_batch or any(
        now.config.mapping("deepspeed").get(key) for key in _SET_BY_DEEPSPEED
    )


def _loads_otherwise(now: Situation) -> bool:
    return bool({"dtype", "torch_dtype"} & {*now.config.mapping("model_init_kwargs")})


def _of_gpu(then: Situation) -> str:
    return f"{render_bytes(then.estimate.total)} of {render_bytes(then.gpu_bytes or 0)}"


def _passes(count: int) -> str:
    return "1 pass" if count == 1 else f"{count} passes"
