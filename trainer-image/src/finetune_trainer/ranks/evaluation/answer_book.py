# SPDX-License-Identifier: Apache-2.0
"""The answers of each evaluation, bounded, and carried from one attempt to the next."""

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from finetune_trainer.ranks.evaluation.samples import Prompt

MAX_STEPS = 20
MAX_PROMPTS = 20
"""The number of prompts whose answers are kept: a metric may judge hundreds."""

AnswerDocument = list[dict[str, Any]]


class AnswerBook(TrainerCallback, ExportableState):
    """transformers keeps its state in each checkpoint."""

    def __init__(self) -> None:
        self._by_step: dict[int, list[str | None]] = {}

    def note(self, step: int, answers: Sequence[str | None]) -> None:
        """Keeps the answers of this step; if there are too many steps, one of the closest is
        dropped.
        """
        self._by_step[step] = list(answers[:MAX_PROMPTS])
        if len(self._by_step) > MAX_STEPS:
            del self._by_step[_least_missed(sorted(self._by_step))]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        saved = (state.stateful_callbacks or {}).get(type(self).__name__)
        if isinstance(saved, dict):
            by_step = saved["attributes"]["by_step"]
            self._by_step = {int(step): answers for step, answers in by_step.items()}

    def state(self) -> dict[str, Any]:
        by_step = {str(step): answers for step, answers in sorted(self._by_step.items())}
        return {"args": {}, "attributes": {"by_step": by_step}}

    def document(
        self,
        prompts: Sequence[Prompt],
        before: Sequence[str | None],
        after: Sequence[str | None],
    ) -> AnswerDocument:
        """One entry for each prompt; an unknown answer is null, or left out of a step.

        `before` may contain the answers from before the first step.
        """
        before = before or self._by_step.get(0, [])
        return [
            {
                "prompt": prompt.question,
                "expected": prompt.expected,
                "before": before[place] if place < len(before) else None,
                "after": after[place] if place < len(after) else None,
                "during": [
                    {"step": step, "answer": answers[place]}
                    for step, answers in sorted(self._by_step.items())
                    if step > 0 and place < len(answers) and answers[place] is not None
                ],
            }
            for place, prompt in enumerate(prompts[:MAX_PROMPTS])
        ]


def _least_missed(steps: Sequence[int]) -> int:
    """The step between whose neighbours the gap is smallest; never the first or the last."""
    gaps = {steps[place]: steps[place + 1] - steps[place - 1] for place in range(1, len(steps) - 1)}
    return min(gaps, key=lambda step: gaps[step])
