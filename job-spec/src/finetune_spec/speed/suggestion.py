# SPDX-License-Identifier: Apache-2.0
"""The fastest config with the same result, from the rules that keep it. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_spec.memory import Estimate
from finetune_spec.memory.ladder import ConfigChanges, find_rungs, spell
from finetune_spec.speed.advice import find_advice
from finetune_spec.speed.rules import Advice
from finetune_spec.speed.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A config to train with instead."""

    config: Mapping[str, Any]
    """The complete config, in the user's notation."""
    changes: ConfigChanges
    """Its changes, in the user's own spellings; empty if nothing is faster."""
    advice: tuple[Advice, ...]
    """The reasons."""
    estimate: Estimate


def suggest(situation: Situation) -> Suggestion | None:
    """None if nothing with the same result fits the GPU."""
    needed = _make_fit(situation)
    if needed is None:
        return None
    advice = tuple(find_advice(situation.adjusted(needed), keeps_result=True))
    settings = dict(needed)
    for each in advice:
        settings |= each.settings
    config = situation.config.adjusted(spell(situation.config, settings))
    before, after = situation.config.written, config.written
    return Suggestion(
        config=after,
        changes={key: value for key, value in after.items() if before.get(key) != value},
        advice=advice,
        estimate=replace(situation, config=config).estimate,
    )


def _make_fit(situation: Situation) -> ConfigChanges | None:
    """The required rungs of the ladder, only those open to a retry, because these keep the result;
    None if all of them are insufficient.
    """
    settings: dict[str, Any] = {}
    now = situation
    while now.gpu_bytes is not None and now.estimate.total > now.gpu_bytes:
        rungs = find_rungs(now.config, now.context)
        step = next((new for rung, new in rungs if rung.is_retried), None)
        if step is None:
            return None
        settings |= step
        now = situation.adjusted(settings)
    return settings
