# SPDX-License-Identifier: Apache-2.0
"""What to change in a config so that it fits a GPU: the least harmful changes first.

Each change keeps what the run learns as far as it can; the effective batch always stays.
No I/O here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning
from finetune_spec.memory import (
    Architecture,
    Estimate,
    UnreadableModel,
    estimate_memory,
    parse_model,
)
from finetune_spec.quantities import render_bytes

Settings = Mapping[str, Any]

_BATCH, _ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Keys to set, and what the config needs with them."""

    settings: Settings
    estimate: Estimate

    def __str__(self) -> str:
        keys = [f"{key}: {quoted(value)}".replace('"', "") for key, value in self.settings.items()]
        *others, last = keys
        told = f"{', '.join(others)} and {last}" if others else last
        return f"set {told} ({render_bytes(self.estimate.total)})"


def propose(
    config: Reading, model: Architecture, context: Context, gpu_bytes: int
) -> Proposal | None:
    """The least harmful changes with which it fits, or None where none of them is enough."""
    taken: list[Settings] = []
    current = config
    for change in _CHANGES:
        settings = change(current)
        if settings is None:
            continue
        taken.append(settings)
        current = _with(config, taken)
        if estimate_memory(current, model, context).total <= gpu_bytes:
            return _spared(config, taken, model, context, gpu_bytes)
    return None


def advise_on_memory(
    path: str, config: Reading, context: Context, gpu_bytes: int | None
) -> Iterator[Problem]:
    """Warns where a model that is known here needs more than the GPUs here have.

    `path` is the config's own.
    """
    if gpu_bytes is None or context.model is None or context.gpus_per_node == 0:
        return
    try:
        model = parse_model(context.model)
    except UnreadableModel:
        return
    needed = estimate_memory(config, model, context).total
    if needed > gpu_bytes:
        yield warning(
            path,
            f"needs an estimated {render_bytes(needed)} on each GPU, and those here have "
            f"{render_bytes(gpu_bytes)}: {describe(propose(config, model, context, gpu_bytes))}",
        )


def describe(proposal: Proposal | None) -> str:
    if proposal is not None:
        return str(proposal)
    return "ask for larger GPUs, or spread the model over more of them with fsdp or deepspeed"


def _checkpoint(config: Reading) -> Settings | None:
    newer = config["activation_checkpointing"]
    if config["gradient_checkpointing"] if newer is None else newer:
        return None
    return {"gradient_checkpointing" if newer is None else "activation_checkpointing": True}


def _smaller_batch(config: Reading) -> Settings | None:
    batch = config[_BATCH]
    return None if batch == 1 else {_BATCH: 1, _ACCUMULATION: batch * config[_ACCUMULATION]}


def _half_precision(config: Reading) -> Settings | None:
    """Only of weights that don't learn: small steps are lost in 16 bits."""
    is_quantized = config["load_in_4bit"] or config["load_in_8bit"]
    if not config["use_peft"] or is_quantized or config["dtype"] not in ("float32", None):
        return None
    return {"dtype": "bfloat16"}


def _adapter(config: Reading) -> Settings | None:
    if config["use_peft"] or config["num_layers_unfrozen"]:
        return None
    return {"use_peft": True, "dtype": "bfloat16"}


def _four_bits(config: Reading) -> Settings | None:
    if not config["use_peft"] or config["load_in_4bit"] or config["deepspeed"] or config["fsdp"]:
        return None
    return {"load_in_4bit": True, **({"load_in_8bit": False} if config["load_in_8bit"] else {})}


_CHANGES: tuple[Callable[[Reading], Settings | None], ...] = (
    _checkpoint,
    _smaller_batch,
    _half_precision,
    _adapter,
    _four_bits,
)


def _spared(
    config: Reading,
    taken: Sequence[Settings],
    model: Architecture,
    context: Context,
    gpu_bytes: int,
) -> Proposal:
    """Without the changes that turn out to be needless, and with the largest batch that fits."""

    def fits(settings: Sequence[Settings]) -> bool:
        return estimate_memory(_with(config, settings), model, context).total <= gpu_bytes

    kept = list(taken)
    for settings in reversed(taken):
        without = [other for other in kept if other is not settings]
        if without and fits(without):
            kept = without
    for place, settings in enumerate(kept):
        if _BATCH in settings:
            larger = [[*kept[:place], batch, *kept[place + 1 :]] for batch in _batches(config)]
            kept = next((candidate for candidate in larger if fits(candidate)), kept)
    changed = _with(config, kept)
    return Proposal(
        settings={key: value for settings in kept for key, value in settings.items()},
        estimate=estimate_memory(changed, model, context),
    )


def _batches(config: Reading) -> Iterator[Settings]:
    """Smaller batches with the same effective one, the largest first."""
    batch = config[_BATCH]
    for smaller in range(batch // 2, 0, -1):
        if batch % smaller == 0:
            yield {_BATCH: smaller, _ACCUMULATION: batch // smaller * config[_ACCUMULATION]}


def _with(config: Reading, changes: Sequence[Settings]) -> Reading:
    values = dict(config.values)
    for settings in changes:
        values |= settings
    return replace(config, values=values)
