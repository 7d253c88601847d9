# SPDX-License-Identifier: Apache-2.0
"""Answers to held-out prompts: what a person wants to see before and after training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

Messages = list[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt that training does not see, and the answer that the data gives."""

    content: str | Messages
    expected: str

    @property
    def question(self) -> str:
        """What a reader is shown."""
        if isinstance(self.content, str):
            return self.content
        return str(self.content[-1].get("content", ""))


def held_out(dataset: Mapping[str, Any], split: str, count: int) -> list[Prompt]:
    """The first prompts of the held-out split; none where there is no such split or no prompt."""
    if split not in dataset:
        return []
    rows: Iterable[Mapping[str, Any]] = islice(dataset[split], count)
    return [prompt for row in rows if (prompt := prompt_of(row)) is not None]


def prompt_of(row: Mapping[str, Any]) -> Prompt | None:
    """The prompt and its answer in one row of the shapes that TRL trains on."""
    if "image" in row or "images" in row:
        return None
    match row:
        case {"messages": [*context, {"role": "assistant", "content": str(answer)}]} if context:
            return Prompt(content=context, expected=answer)
        case {"prompt": str(question), "completion": str(answer)}:
            return Prompt(content=question, expected=answer)
        case {"prompt": [*context], "completion": [{"content": str(answer)}, *_]} if context:
            return Prompt(content=context, expected=answer)
    return None


@torch.no_grad()
def answers(model: Any, tokenizer: Any, prompts: list[Prompt], max_tokens: int) -> list[str]:
    """The model's own answer to each prompt, without chance: sampling would move random states."""
    if not prompts:
        return []
    texts = [_render(tokenizer, prompt) for prompt in prompts]
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    inputs = tokenizer(
        texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
    ).to(model.device)
    was_training = model.training
    model.eval()
    try:
        generated = model.generate(
            **inputs,
            max_new_tokens=max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            use_cache=True,
        )
    finally:
        model.train(was_training)
    new_tokens = generated[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(new_tokens, skip_special_tokens=True)]


def _render(tokenizer: Any, prompt: Prompt) -> str:
    """The text that the model goes on from, special tokens included."""
    if isinstance(prompt.content, str):
        return str(tokenizer.decode(tokenizer(prompt.content)["input_ids"]))
    rendered = tokenizer.apply_chat_template(
        prompt.content, add_generation_prompt=True, tokenize=False
    )
    return str(rendered)
