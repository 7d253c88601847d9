# SPDX-License-Identifier: Apache-2.0
"""Applies the rules in order, each on top of the previous ones, also as warnings. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem, warning
from finetune_spec.memory import UnreadableModel, parse_model
from finetune_spec.memory.ladder import ConfigChanges, render_settings, spell
from finetune_spec.speed.rules import RULES, Advice
from finetune_spec.speed.situation import Situation


def find_advice(situation: Situation, *, keeps_result: bool = False) -> Iterator[Advice]:
    """The changes that make the run faster; on request only those that do not change its result.

    They are compatible: a later one counts with the earlier ones.
    """
    if situation.context.gpus_per_node == 0:
        return
    for rule in RULES:
        if keeps_result and not rule.keeps_result:
            continue
        if (advice := rule.find(situation)) is not None:
            situation = situation.adjusted(advice.settings)
            yield advice


def advise_on_speed(
    path: str, config: SftConfig, context: Context, gpu_bytes: int | None
) -> Iterator[Problem]:
    """The advice for a known model; `path` is the config's own."""
    if context.model is None:
        return
    try:
        model = parse_model(context.model)
    except UnreadableModel:
        return
    situation = Situation(config=config, model=model, context=context, gpu_bytes=gpu_bytes)
    for advice in find_advice(situation):
        settings = spell(config, advice.settings)
        yield warning(f"{path}.{next(iter(settings))}", describe(settings, advice))


def describe(settings: ConfigChanges, advice: Advice) -> str:
    """The advice after the name of its first key."""
    (_, value), *others = settings.items()
    more = render_settings(dict([("it", value), *others]), " to ")
    return f"set {more} for speed: {advice.figure}"
