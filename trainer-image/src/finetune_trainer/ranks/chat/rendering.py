# SPDX-License-Identifier: Apache-2.0
"""A question and an answer in a template's words, and what it writes behind the answer."""

import re
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import ProcessorMixin

ANSWER = "Zq7qZ"
"""No template writes this of itself."""

MARK = re.compile(r"<[^<>\s]{1,60}>")
"""What looks like a special token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What a template writes behind an answer."""

    tokens: tuple[str, ...] = ()
    """Tokens of the vocabulary."""
    foreign: tuple[str, ...] = ()
    """Marks that look like tokens, and are none of this vocabulary's."""


def closing_of(processor: Any) -> Closing:
    """What the template writes behind an answer that nothing follows."""
    rendered = render(processor)
    if rendered is None or ANSWER not in rendered:
        return Closing()
    rest = rendered.rpartition(ANSWER)[2]
    known = sorted(tokenizer_of(processor).get_added_vocab(), key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in known) or r"(?!)")
    tokens = tuple(pattern.findall(rest))
    return Closing(tokens=tokens, foreign=tuple(MARK.findall(pattern.sub("", rest))))


def render(processor: Any, *, raises: bool = False) -> str | None:
    """A question and an answer in the template's words; None where it will have none of them."""
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
    """What a user calls the model: the last part of a path is enough."""
    name = str(tokenizer_of(processor).name_or_path).rstrip("/")
    return name.rsplit("/", 1)[-1] if name.startswith("/") else name or "the model"
