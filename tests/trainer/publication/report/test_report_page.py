# SPDX-License-Identifier: Apache-2.0
"""The report and the model card: their contents for readers, without any secret or foreign
markup.
"""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from finetune_trainer.exchange.data_account import (
    DataAccount,
    Packing,
    SplitAccount,
    measure_lengths,
)
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.publication.report.card import model_card
from finetune_trainer.publication.report.page import report_page
from finetune_trainer.publication.report.story import RunFacts, Story, config_text
from trainer.runs import a_parsed_run

SCRIPT = "<script>alert('row')</script>"

ACCOUNT = DataAccount(
    splits={
        "train": SplitAccount(
            rows=1_200,
            dropped={"prompt fills max_length": 7},
            truncated=31,
            tokens_cut=900,
            tokens=80_000,
            trained_tokens=30_000,
            lengths=measure_lengths([10, 40, 90, 700], [400, 500, 200, 100]),
            packing=Packing(packs=90, efficiency=0.95),
        ),
        "test": SplitAccount(rows=50),
    },
    warnings=("31 rows of train are longer than max_length",),
)


def a_story(**changes: Any) -> Story:
    history = [
        {"step": 1, "loss": 4.0, "learning_rate": 0.0, "grad_norm": 2.0, "num_tokens": 100.0},
        {"step": 2, "loss": 2.0, "learning_rate": 1e-3, "grad_norm": 1.5, "num_tokens": 300.0},
        {"step": 4, "eval_loss": 1.5},
        {"step": 4, "loss": 1.0, "learning_rate": 0.0, "grad_norm": 1.0, "num_tokens": 700.0},
        {"step": 4, "train_runtime": 2.0},
    ]
    story = Story(
        run=a_parsed_run(max_length=128),
        history=history,
        samples=[
            {"prompt": SCRIPT, "before": "no", "after": "yes & no", "expected": "<yes>"},
        ],
        figures={"first_loss": 4.0, "loss": 1.0, "base_eval_loss": 3.0, "eval_loss": 1.5},
        step=4,
        world_size=2,
        versions={"trl": "1.16.0"},
        is_adapter=True,
        account=ACCOUNT,
        note="3 of 8 held-out prompts were not answered after training",
        run_facts=RunFacts(
            phase_seconds={"Training": 75.0},
            estimated_memory_bytes=3 * 2**30,
            peak_memory_bytes=2 * 2**30,
            hardware="2 x NVIDIA L4, driver 580.65.06 (CUDA 13.0), NCCL over TCP sockets",
            digests={"model": {"name": "m", "files": {"config.json": "ab12"}}, "data": []},
            licence="apache-2.0",
        ),
    )
    return replace(story, **changes)


class Page(HTMLParser):
    """The resources that a browser would load, and the text that it would show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.pictures: list[str | None] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.addresses += [str(given[name]) for name in ("src", "href") if name in given]
        if tag == "svg":
            self.pictures.append(given.get("role"))

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.tags[-1] in ("h1", "h2"):
            self.headings.append(data)


def test_the_page_loads_no_external_resource() -> None:
    page = report_page(a_story())

    read = Page(page)
    assert read.addresses == []
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    assert "@import" not in page
    assert "url(" not in page


def test_a_row_of_the_data_is_shown_and_never_executed() -> None:
    page = report_page(a_story())

    assert SCRIPT not in page
    assert SCRIPT in Page(page).text


HOSTILE = """</pre></td><script>alert("x")</script><img src=x onerror='y'>{{ 7 * 7 }}"""


def a_hostile_story(text: str) -> Story:
    """The text is in every place that another person can write."""
    config = {"model_name_or_path": text, "dataset_name": text, text: text}
    split = replace(ACCOUNT.splits["train"], dropped={text: 7}, note=text)
    return a_story(
        run=a_parsed_run(adjustments={text: text}, **config),
        samples=[{"prompt": text, "before": text, "after": text, "expected": text}],
        figures={text: 1.0},
        versions={text: text},
        account=DataAccount(splits={text: split}, warnings=(text,)),
        note=text,
        run_facts=RunFacts(
            phase_seconds={text: 1.0},
            hardware=text,
            resolved_config=config,
            digests={"model": {"name": text, "files": {text: text}}, "data": []},
            licence=text,
        ),
    )


def test_no_foreign_text_becomes_markup_of_the_page() -> None:
    harmless, hostile = (Page(report_page(a_hostile_story(text))) for text in ("x", HOSTILE))

    assert hostile.tags == harmless.tags
    assert hostile.addresses == []
    # Model, dataset, note, hardware, licence, version and digests; rows, counts and config.
    assert hostile.text.count(HOSTILE) > 20


@pytest.mark.parametrize(
    "shown",
    [
        "4 \u2192 1",
        "3 \u2192 1.5",
        "Learning rate",
        "Gradient norm",
        "prompt fills max_length",
        "3 of 8 held-out prompts were not answered after training",
        "2 x NVIDIA L4, driver 580.65.06 (CUDA 13.0), NCCL over TCP sockets",
        "1,200",
        "90 (95% full)",
        "max_length 128",
        "31 rows of train are longer than max_length",
        "350",  # tokens per second: 700 in 2 s
        "1m15s",
        "3Gi",
        "2Gi",
        "2 (DDP)",
        "1.16.0",
        "ab12",
        "apache-2.0",
    ],
)
def test_the_page_shows(shown: str) -> None:
    assert shown in Page(report_page(a_story())).text


def test_every_chart_has_a_role_and_a_text_and_every_table_has_headers() -> None:
    page = report_page(a_story())
    read = Page(page)

    assert len(read.pictures) >= 4
    assert set(read.pictures) == {"img"}
    assert read.tags.count("desc") == len(read.pictures)
    tables = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    assert tables
    assert all('scope="col"' in table or 'scope="row"' in table for table in tables)


def test_a_run_with_few_facts_has_a_page_too() -> None:
    story = a_story(history=[], samples=[], figures={}, account=None, run_facts=RunFacts())

    read = Page(report_page(story))

    assert "Course" in read.headings
    assert "Data" not in read.headings


def test_throughput_counts_only_steps_of_this_attempt() -> None:
    story = a_story()
    resumed = replace(story, run_facts=replace(story.run_facts, resumed_from_step=2))

    assert story.mean_tokens_per_second == 350.0
    assert resumed.mean_tokens_per_second == 200.0


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"env": {"HF_TOKEN": "hf_secret"}}, id="env"),
        pytest.param({"hub_token": "hf_secret"}, id="hub_token"),
        pytest.param({"dataset_name": "https://me:hf_secret@data.example/x"}, id="a password"),
        pytest.param({"dataset_name": "https://d.example/x?sig=hf_secret"}, id="a signature"),
        pytest.param({"datasets": [{"path": "https://d.example/x?token=hf_secret"}]}, id="a part"),
    ],
)
def test_no_report_contains_a_secret(config: dict[str, Any]) -> None:
    story = a_story(run=a_parsed_run(**config))

    for text in (
        report_page(story),
        model_card(story, "adapter"),
        config_text(story.run.config.resolved),
    ):
        assert "hf_secret" not in text


def front_matter(card: str) -> dict[str, Any]:
    _, matter, _ = card.split("---\n", 2)
    read: dict[str, Any] = yaml.safe_load(matter)
    return read


def test_the_hub_can_parse_the_cards_front_matter() -> None:
    config = {"model_name_or_path": "org/base", "dataset_name": "hf://org/rows"}
    story = a_story(run=a_parsed_run(**config))

    assert front_matter(model_card(story, "adapter")) == {
        "base_model": "org/base",
        "base_model_relation": "adapter",
        "datasets": ["org/rows"],
        "library_name": "peft",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["trl", "sft", "finetune-operator", "lora"],
    }


def test_a_bucket_location_is_not_listed_as_a_hub_name() -> None:
    matter = front_matter(model_card(a_story(), "adapter"))

    assert not {"base_model", "datasets"} & set(matter)


def test_the_card_shows_data_figures_versions_and_how_to_load_the_model() -> None:
    card = model_card(a_story(), "adapter")

    assert 'PeftModel.from_pretrained(base, "adapter")' in card
    assert 'from_pretrained("base")' in card
    assert "aws s3 cp --recursive s3://models/tiny base" in card
    assert "| train | 1,200 | 7 | 31 |" in card
    assert "| eval loss of the base model | 3 |" in card
    assert "| eval loss after training | 1.5 |" in card
    assert "| trl | 1.16.0 |" in card
    assert "`apache-2.0`" in card


def test_the_card_of_an_adapter_with_added_tokens_resizes_the_base_first() -> None:
    card = model_card(a_story(added_tokens=("<|tool|>",)), "adapter")

    assert card.index("resize_token_embeddings") < card.index("PeftModel.from_pretrained(base")
    assert "`<|tool|>`" in card


def test_the_card_of_a_pushed_artifact_loads_it_from_the_hub() -> None:
    story = a_story()
    pushed = replace(story, run_facts=replace(story.run_facts, repository="org/tuned"))

    assert 'from_pretrained(base, "org/tuned")' in model_card(pushed, "adapter")


def test_an_unknown_licence_is_shown_as_unknown() -> None:
    story = a_story()
    card = model_card(replace(story, run_facts=replace(story.run_facts, licence=None)), "adapter")

    assert "Unknown" in card
    assert "license" not in front_matter(card)


def test_secrets_known_to_the_attempt_are_hidden() -> None:
    redaction = Redaction.of({"MY_API_KEY": "tops3cret-value"})

    assert "tops3cret" not in redaction.text(config_text({"run_name": "tops3cret-value"}))
