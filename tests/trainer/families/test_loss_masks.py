# SPDX-License-Identifier: Apache-2.0
"""The answers of the file, and no other texts, count for the loss: with chat
templates of the common families, and with tokenizers of every kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trainer.families.learnt_texts import learnt
from trainer.families.tokenizers import KINDS

pytestmark = pytest.mark.slow  # importing TRL takes a quarter of a minute

ASKED = "Where is it?"
GREETING = "Ahoy, you."
ANSWERS = (
    "Lentils, and 12 of them.",
    "Gr\u00fc\u00dfe aus K\u00f6ln: \u65e5\u672c\u8a9e!",
    "def f(x):\n    return x\n\n\nf(1)",
    "  two spaces before",
    "behind two spaces  ",
    "\nA line before",
    "A line behind\n",
    "\n\n1. one\n2. two",
    "7",
    ASKED,
    "'quoted' \"twice\"",
    "<b>bold</b> & more",
)
SAID = [answer.strip() for answer in ANSWERS]

FEW = (("llama3", "bytes as GPT-2"), ("phi3", "spaces as Llama 2"))
TEMPLATES = ("chatml", "llama3", "gemma", "phi3", "qwen3")
MANY = [(name, kind) for name in TEMPLATES for kind in KINDS if (name, kind) not in FEW]


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def completed(answer: str) -> dict[str, Any]:
    return {"prompt": [turn("user", ASKED)], "completion": [turn("assistant", answer)]}


def conversed(answer: str, **of_greeting: Any) -> dict[str, Any]:
    return {
        "messages": [
            turn("user", ASKED),
            turn("assistant", GREETING, **of_greeting),
            turn("user", "And now?"),
            turn("assistant", answer),
        ]
    }


def require_answers_alone(place: Path, template: str, kind: str) -> None:
    """In the three ways in which a config can request it."""
    for name, rows, config, runs in WAYS:
        found = learnt(place / name, template, kind, rows, **config)
        assert found.runs == runs, name
        assert all(all(each) for each in found.endings), name


WAYS: tuple[tuple[str, list[dict[str, Any]], Mapping[str, Any], list[list[str]]], ...] = (
    ("completions", [completed(it) for it in ANSWERS], {}, [[it] for it in SAID]),
    (
        "assistant",
        [conversed(it) for it in ANSWERS],
        {"assistant_only_loss": True},
        [[GREETING, it] for it in SAID],
    ),
    (
        "weights",
        [conversed(it, weight=0) for it in ANSWERS],
        {"assistant_only_loss": True},
        [[it] for it in SAID],
    ),
)


@pytest.mark.parametrize(("template", "kind"), FEW)
def test_of_conversations_the_answers_count_and_nothing_else(
    tmp_path: Path, template: str, kind: str
) -> None:
    require_answers_alone(tmp_path, template, kind)


@pytest.mark.long
@pytest.mark.parametrize(("template", "kind"), MANY)
def test_with_other_templates_and_tokenizers_too_the_answers_count_and_nothing_else(
    tmp_path: Path, template: str, kind: str
) -> None:
    require_answers_alone(tmp_path, template, kind)
