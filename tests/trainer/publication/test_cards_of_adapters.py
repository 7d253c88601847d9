# SPDX-License-Identifier: Apache-2.0
"""The card of a training that began with an adapter: its code, and the names in it."""

from pathlib import Path
from typing import Any

import pytest

from finetune_spec.base_model.adapters import WEIGHTS, parse_adapter
from finetune_trainer.plan.parsed_run import ParsedRun, StartingAdapter
from finetune_trainer.publication.report.card import model_card
from finetune_trainer.publication.report.story import RunFacts
from support.model_folders import ADAPTER
from trainer.cards import blocks, loading
from trainer.publication.report.test_report_page import a_story
from trainer.runs import a_parsed_run

BASE = "s3://models/base"
DIGESTS = {"adapter": {"name": "a", "files": {WEIGHTS: "ab12" * 16}}}


def a_run(adapter: str, how: str, *, base: str = BASE, **options: Any) -> ParsedRun:
    run = a_parsed_run(model_name_or_path=adapter, adapter_as_model=how, lora_r=4)
    starting = StartingAdapter(
        name=adapter,
        folder=Path("/work/inputs/adapter"),
        is_folder=False,
        adapter=parse_adapter({**ADAPTER, **options}),
        tensors={},
        written=run.config.resolved,
        settings={"model_name_or_path": base, "model_revision": "main", "lora_alpha": 32},
    )
    return run.starting_from(starting)


def card_of(run: ParsedRun, kind: str = "adapter") -> str:
    return model_card(a_story(run=run, run_facts=RunFacts(digests=DIGESTS)), kind)


@pytest.mark.parametrize(
    ("adapter", "base", "commands"),
    [
        pytest.param("org/first", "org/base", [], id="on the hub"),
        pytest.param(
            "s3://models/first",
            "s3://models/base",
            [
                "aws s3 cp --recursive s3://models/base base\n",
                "aws s3 cp --recursive s3://models/first first-adapter\n",
            ],
            id="in a store",
        ),
        pytest.param("/models/first", "/models/base", [], id="in directories"),
    ],
)
def test_an_adapter_on_a_merged_model_is_loaded_after_merging_the_first_one(
    adapter: str, base: str, commands: list[str]
) -> None:
    card = card_of(a_run(adapter, "merge", base=base))

    first = "first-adapter" if adapter.startswith("s3") else adapter
    below = "base" if base.startswith("s3") else base
    lines = [line for line in loading(card).splitlines() if "base = " in line or "model = " in line]
    assert blocks(card, "sh") == commands
    assert lines == [
        f'base = AutoModelForCausalLM.from_pretrained("{below}")',
        f'base = PeftModel.from_pretrained(base, "{first}").merge_and_unload()',
        'model = PeftModel.from_pretrained(base, "adapter")',
    ]


def test_no_base_model_on_the_hub_is_linked_for_an_adapter_on_a_merged_model() -> None:
    run = a_run("org/first", "merge", base="org/base")

    assert "base_model" not in card_of(run).split("---")[1]
    assert "base_model: org/base" in card_of(run, "model").split("---")[1]


def test_an_adapter_that_was_continued_is_loaded_like_any_other() -> None:
    run = a_run("org/first", "continue", base="org/base")

    python = loading(card_of(run))
    assert 'AutoModelForCausalLM.from_pretrained("org/base")' in python
    assert 'PeftModel.from_pretrained(base, "adapter")' in python
    assert "org/first" not in python
    assert "base_model: org/base" in card_of(run)


def test_a_first_adapter_with_new_tokens_gets_their_rows() -> None:
    run = a_run("org/first", "merge", base="org/base", trainable_token_indices=[98, 99])

    python = loading(card_of(run))

    assert python.index("resize_token_embeddings") < python.index('"org/first"')


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        pytest.param(
            "continue",
            "adapter",
            "A LoRA adapter for `s3://models/base`, continued from the adapter "
            "`s3://models/first` (sha256:ab12ab12ab12), fine-tuned with",
            id="continued",
        ),
        pytest.param(
            "merge",
            "adapter",
            "A LoRA adapter for `s3://models/base` with the adapter `s3://models/first` "
            "(sha256:ab12ab12ab12) merged into it, fine-tuned with",
            id="an adapter on a merged model",
        ),
        pytest.param(
            "merge",
            "model",
            "Made from `s3://models/base` with the adapter `s3://models/first` (",
            id="a merged model",
        ),
    ],
)
def test_the_card_says_what_was_done_with_the_adapter(how: str, kind: str, words: str) -> None:
    assert words in card_of(a_run("s3://models/first", how), kind)


def test_the_card_shows_the_config_as_its_user_wrote_it() -> None:
    (config,) = blocks(card_of(a_run("s3://models/first", "continue")), "yaml")

    lines = config.splitlines()
    assert "model_name_or_path: s3://models/first" in lines
    assert "lora_r: 4" in lines
    assert not [line for line in lines if "model_revision" in line or "lora_alpha" in line]
