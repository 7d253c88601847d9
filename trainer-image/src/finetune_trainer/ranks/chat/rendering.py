# SPDX-License-Identifier: Apache-2.0
"""Renders a question and an answer with a template, and finds the tokens after the answer."""

import re
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import ProcessorMixin

ANSWER = "Zq7qZ"
"""No template contains this text."""

MARK = re.compile(r"<[^<>\s]{1,60}>")
"""A text that looks like a special token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The tokens that a template renders after an answer."""

    tokens: tuple[str, ...] = ()
    """Tokens of the vocabulary."""
    foreign: tuple[str, ...] = ()
    """Marks that look like tokens but are not in this vocabulary."""


def closing_of(processor: Any) -> Closing:
    """The tokens that the template renders after a final answer."""
    rendered = render(processor)
    if rendered is None or ANSWER not in rendered:
        return Closing()
    rest = rendered.rpartition(ANSWER)[2]
    known = sorted(tokenizer_of(processor).get_added_vocab(), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in known) or r"(?!)")
    tokens = tuple(pattern.findall(rest))
    return Closing(tokens=tokens, foreign=tuple(MARK.findall(pattern.sub("", rest))))


def render(processor: Any, *, raises: bool = False) -> str | None:
    """A question and an answer, rendered with the template; None if it refuses all forms."""
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": ANSWER},
    ]
    if isinstance(processor, ProcessorMixin):
        for turn in turns:
            turn["content"] = [{"type": "text", "text": turn["content"]}]
    if processor.chat_template is None:
        return None
    try:
        return str(processor.apply_chat_template(turns, tokenize=False))
    except (TemplateError, TypeError, ValueError, KeyError):
        if raises:
            raise
        return None


def tokenizer_of(processor: Any) -> Any:
    return processor.tokenizer if isinstance(processor, ProcessorMixin) else processor


def name_of(processor: Any) -> str:
    """The name of the model for users: the last part of a path is sufficient."""
    name = str(tokenizer_of(processor).name_or_path).rstrip("/")
    return name.rsplit("/", 1)[-1] if name.startswith("/") else name or "the model"
