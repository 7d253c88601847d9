# SPDX-License-Identifier: Apache-2.0
"""The fastest config with the same result, by the rules that keep it. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_spec.memory import Estimate
from finetune_spec.memory.ladder import ConfigChanges, find_rungs
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
    fitting = _made_to_fit(situation)
    if fitting is None:
        return None
    advice = tuple(find_advice(fitting, keeps_result=True))
    changed = fitting
    for each in advice:
        changed = changed.adjusted(each.settings)
    before, after = situation.config.written, changed.config.written
    return Suggestion(
        config=after,
        changes={key: value for key, value in after.items() if before.get(key) != value},
        advice=advice,
        estimate=changed.estimate,
    )


def _made_to_fit(situation: Situation) -> Situation | None:
    """The situation with as many of the ladder's rungs as it needs: those that a retry takes,
    since these keep the result."""
    while situation.gpu_bytes is not None and situation.estimate.total > situation.gpu_bytes:
        rungs = find_rungs(situation.config, situation.context)
        step = next((new for rung, new in rungs if rung.is_retried), None)
        if step is None:
            return None
        situation = situation.adjusted(step)
    return situation
