# SPDX-License-Identifier: Apache-2.0
"""A chat template by its name, as a file, or from a tokenizer."""

import pytest

from finetune_spec.config.check.chat_templates import NAMES, OTHER_NAMES
from spec.config.single_values import refusals, warnings

KEY = "chat_template_path"


@pytest.mark.parametrize(
    "value",
    [
        *NAMES,
        "./templates/chat.jinja",
        "/data/chat.j2",
        "chat.jinja",
        "s3://templates/chat.jinja",
        "s3://models/balloon/tokenizer",
        "hf://org/model",
        "org/model",
        "~/models/tokenizer",
    ],
)
def test_a_template_by_name_file_or_tokenizer_is_accepted_without_a_warning(value: str) -> None:
    assert (refusals(KEY, value), warnings(KEY, value)) == ([], [])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("lama3", "did you mean llama3?", id="misspelt"),
        pytest.param("ChatML", "did you mean chatml?", id="another case"),
        pytest.param("llama-3.1", "did you mean llama3_1?", id="another writing"),
        pytest.param("qwen2.5", "did you mean qwen2_5?", id="a dot"),
        pytest.param("qwen3_training", "did you mean qwen3?", id="TRL's patched one"),
        pytest.param("default", "leave the key out", id="the model's own"),
        pytest.param("none", "write null", id="the word none"),
        pytest.param("alpaca", "expected chatml, a template of TRL's by name", id="no such name"),
        pytest.param("{% for message in messages %}", "write it to a file", id="the template"),
        pytest.param("/data/chat.jinja2", "ends in .jinja or .j2", id="another ending"),
        pytest.param("chat_template.json", "ends in .jinja or .j2", id="an older file"),
        pytest.param("gcs://models/x.jinja", "did you mean gs?", id="another scheme"),
    ],
)
def test_an_invalid_template_is_refused_with_the_nearest_valid_one(value: str, words: str) -> None:
    (told,) = refusals(KEY, value)

    assert words in told


def test_every_alias_of_a_template_leads_to_an_existing_one() -> None:
    assert {name for name in OTHER_NAMES.values() if name} <= set(NAMES)
    assert not set(OTHER_NAMES) & set(NAMES)
