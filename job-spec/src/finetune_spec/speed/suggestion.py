# SPDX-License-Identifier: Apache-2.0
"""The fastest config with the same result, by the rules that keep it. No I/O here."""

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
    """All of it, as its user would write it."""
    changes: ConfigChanges
    """What of it is new, by the user's own spellings; empty where nothing is faster."""
    advice: tuple[Advice, ...]
    """Why."""
    estimate: Estimate


def suggest(situation: Situation) -> Suggestion | None:
    """None where nothing with the same result fits the GPU."""
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
    """As many of the ladder's rungs as it needs, of those that a retry takes, since these keep the
    result; None where all of them are too few."""
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
