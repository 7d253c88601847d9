# SPDX-License-Identifier: Apache-2.0
"""Answers to held-out prompts, by which people, or a user's metric, judge a model."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from finetune_trainer.ranks.evaluation.in_step import SameScores, agree, root_gathered
from finetune_trainer.ranks.evaluation.random_states import keep_random_states
from finetune_trainer.ranks.model.modes import evaluating

Messages = list[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt that is not in training, and the answer in the data."""

    content: str | Messages
    expected: str | None = None
    """None if the data has no answer."""

    @property
    def question(self) -> str:
        """The text for a reader."""
        if isinstance(self.content, str):
            return self.content
        return str(self.content[-1].get("content", ""))

    def answered(self, answer: str) -> str | Messages:
        """The prompt followed by this answer: a text, or a conversation."""
        if isinstance(self.content, str):
            return self.content + answer
        return [*self.content, {"role": "assistant", "content": answer}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits for generating answers."""

    max_tokens: int
    """Limit for one answer."""
    seconds: float = float("inf")
    """Limit for all answers together."""
    batch_size: int = 8
    is_over: Callable[[], bool] = lambda: False
    """Whether to stop immediately, because the run must stop."""
    beat: Callable[[], None] = lambda: None
    """Called for each token: a heartbeat of the generation."""


def held_out(dataset: Mapping[str, Any], split: str, count: int) -> list[Prompt]:
    """The first prompts of the held-out split; empty if there is no such split or no prompt."""
    if split not in dataset:
        return []
    rows: Iterable[Mapping[str, Any]] = islice(dataset[split], count)
    return [prompt for row in rows if (prompt := prompt_of(row)) is not None]


def prompt_of(row: Mapping[str, Any]) -> Prompt | None:
    """The prompt and its answer, if it has one, in a row of a format that TRL trains on."""
    if "image" in row or "images" in row:
        return None
    match row:
        case {"messages": [*context, {"role": "assistant", "content": str(answer)}]} if context:
            return Prompt(content=context, expected=answer)
        case {"prompt": str(question), "completion": str(answer)}:
            return Prompt(content=question, expected=answer)
        case {"prompt": [*context], "completion": [{"content": str(answer)}, *_]} if context:
            return Prompt(content=context, expected=answer)
        case {"messages": [*context, {"role": "user"} as last]}:
            return Prompt(content=[*context, last])
    return None


def answers(
    model: Any,
    tokenizer: Any,
    prompts: list[Prompt],
    budget: Budget,
    *,
    together_on: torch.device | None = None,
) -> list[str | None]:
    """The model's own answer to each prompt; None for one that exceeded the budget.

    Nothing is random, and the model, its mode and all random states are restored. A sharded model
    answers if all processes call this with `together_on`: the device that this one computes on,
    which is not where an offloaded model is stored.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    limit = _Limit(budget, together_on)
    found: list[str | None] = []
    with evaluating(model), keep_random_states(), root_gathered(model):
        for begin in range(0, len(prompts), budget.batch_size):
            batch = prompts[begin : begin + budget.batch_size]
            if limit.is_reached:
                found += [None] * len(batch)
            else:
                device = together_on or _device_of(model)
                inputs = _inputs(tokenizer, batch).to(device)
                found += _answer(model, tokenizer, inputs, budget.max_tokens, limit)
    return found


class _Limit(StoppingCriteria):
    """Ends generation when the time is over, but never before its first token."""

    def __init__(self, budget: Budget, together_on: torch.device | None) -> None:
        self._until = time.monotonic() + budget.seconds
        self._is_over = budget.is_over
        self._beat = budget.beat
        self._together_on = together_on

    @property
    def is_reached(self) -> bool:
        mine = time.monotonic() >= self._until or self._is_over()
        return mine if self._together_on is None else agree(mine, self._together_on)

    @property
    def scores(self) -> LogitsProcessorList:
        """The processing of the scores of each token before one is chosen."""
        return LogitsProcessorList([] if self._together_on is None else [SameScores()])

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        del scores
        self._beat()
        return torch.full((len(input_ids),), self.is_reached, device=input_ids.device)


def _device_of(model: Any) -> Any:
    """The device of a model's inputs: parameters of an offloaded model are on no device."""
    placed = list((getattr(model, "hf_device_map", None) or {}).values())
    computing = [device for device in placed if device not in ("cpu", "disk")]
    if not computing:
        return "cpu" if placed else model.device
    return computing[0]


def _inputs(tokenizer: Any, prompts: list[Prompt]) -> Any:
    texts = [_render(tokenizer, prompt) for prompt in prompts]
    return tokenizer(
        texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
    )


def _answer(
    model: Any, tokenizer: Any, inputs: Any, max_tokens: int, limit: _Limit
) -> list[str | None]:
    generated = model.generate(
        **inputs,
        max_new_tokens=max_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        # Only for this: training runs without it when activations are recomputed.
        use_cache=True,
        logits_processor=limit.scores,
        stopping_criteria=StoppingCriteriaList([limit]),
    )
    rows = generated[:, inputs["input_ids"].shape[1] :]
    is_cut = rows.shape[1] < max_tokens and limit.is_reached
    ends = _ends(model)
    decoded = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return [
        None if is_cut and not ends & set(row.tolist()) else text.strip()
        for row, text in zip(rows, decoded, strict=True)
    ]


def _ends(model: Any) -> set[int]:
    """The tokens that end an answer."""
    found = model.generation_config.eos_token_id
    return set(found) if isinstance(found, list) else {found}


def _render(tokenizer: Any, prompt: Prompt) -> str:
    """The text that the model continues, including special tokens."""
    if isinstance(prompt.content, str):
        return str(tokenizer.decode(tokenizer(prompt.content)["input_ids"]))
    rendered = tokenizer.apply_chat_template(
        prompt.content, add_generation_prompt=True, tokenize=False
    )
    return str(rendered)
