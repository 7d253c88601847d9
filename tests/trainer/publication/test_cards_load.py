# SPDX-License-Identifier: Apache-2.0
"""A published model loads with the code in its card, pasted into a new interpreter next to a
downloaded copy.
"""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.inputs import fetching
from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.report.card import model_card
from finetune_trainer.publication.report.loading import download_command
from finetune_trainer.publication.report.story import RunFacts
from support.long_form import keeping
from trainer.cards import Copy, apart, blocks, loading
from trainer.hub_stub import HubStub
from trainer.in_process import Trained, train
from trainer.publication.report.test_report_page import a_story
from trainer.runs import a_parsed_run

STORE, HUB = "s3://models/bases/tiny", "org/base"
AZ_BELOW = (
    "az storage blob download-batch --source models --pattern 'bases/tiny/*' "
    "--destination . && mv bases/tiny base"
)
WHOLE: dict[str, Any] = {"use_peft": None, "lora_r": None}
NAMED = {"folder": None, "store": STORE, "hub": HUB}


def train_from(
    where: str,
    place: Path,
    model: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    **config: Any,
) -> Trained:
    """A run whose base model comes from there. A fake: the directory `model` replaces a store or
    the hub.
    """
    name, usual = NAMED[where] or str(model), fetching.fetch

    def fetch(key: str, wanted: str, *others: Any) -> Path | None:
        return model if wanted == name else usual(key, wanted, *others)

    monkeypatch.setattr(fetching, "fetch", fetch)
    done = train(place, model, data, **{**config, "model_name_or_path": name})
    assert done.outcome.failure is None, done.words()
    return done


def a_copy(place: Path, model: Path) -> Copy:
    """With the base model in the place where our users have it."""
    copy = Copy(place)
    (copy.buckets / "models" / "bases").mkdir(parents=True)
    (copy.buckets / "models" / "bases" / "tiny").symlink_to(model)
    # Under no other name: without the branch it is not found.
    copy.keep_on_hub(HUB, model, revision="v1")
    return copy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "config", "cards"),
    keeping(
        ("a store, merged, with added tokens", "the hub, whole model with added tokens"),
        [
            pytest.param(
                "folder", {"merge_adapter": True}, {"adapter", "model"}, id="a folder, merged"
            ),
            pytest.param(
                "store",
                {"merge_adapter": True, "added_tokens": ["<|tool|>", "<|end|>"]},
                {"adapter", "model"},
                id="a store, merged, with added tokens",
            ),
            pytest.param(
                "hub", {"model_revision": "v1"}, {"adapter"}, id="the hub, a branch of it"
            ),
            pytest.param("store", WHOLE, {"model"}, id="a store, whole model"),
            pytest.param(
                "hub",
                {**WHOLE, "added_tokens": ["<|tool|>"], "model_revision": "v1"},
                {"model"},
                id="the hub, whole model with added tokens",
            ),
        ],
    ),
)
def test_the_code_of_a_card_loads_the_published_artifact(
    where: str,
    config: dict[str, Any],
    cards: set[str],
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = train_from(where, tmp_path, tiny_model, dialogues, monkeypatch, **config)
    copy = a_copy(tmp_path / "user", tiny_model).download(done.published)
    load = f"AutoModelForCausalLM.from_pretrained({str(tiny_model)!r})"
    untuned = (
        "```python\nfrom transformers import AutoModelForCausalLM\n"
        f"model, tokenizer = {load}, [0]\n```"
    )

    found = copy.run({**copy.cards(), "base": untuned})

    assert set(found) == {*cards, "base"}
    for name in cards:
        assert apart(found[name], found["base"]) > 1e-3
    if len(cards) == 2:
        assert apart(found["adapter"], found["model"]) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", "hub"])
def test_an_adapters_config_names_its_base_model_if_it_can_be_loaded(
    where: str,
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As AutoPeftModel and model servers read it."""
    config = {"model_revision": "v1"} if where == "hub" else {}
    done = train_from(where, tmp_path, tiny_model, dialogues, monkeypatch, **config)
    copy = a_copy(tmp_path / "user", tiny_model).download(done.published)
    auto = (
        "```python\nfrom peft import AutoPeftModelForCausalLM\nfrom transformers import "
        'AutoTokenizer\ntokenizer = AutoTokenizer.from_pretrained("adapter")\n'
        'model = AutoPeftModelForCausalLM.from_pretrained("adapter")\n```'
    )

    found = copy.run({**copy.cards(), "auto": auto})

    assert apart(found["adapter"], found["auto"]) == 0


@pytest.mark.slow
def test_an_artifact_pushed_to_a_branch_is_loaded_from_that_branch(
    online: HubStub, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    hub = {"push_to_hub": True, "hub_model_id": "org/tuned", "hub_revision": "trial"}
    done = train(tmp_path, tiny_model, dialogues, **hub)
    assert done.outcome.failure is None, done.words()
    pushed = tmp_path / "pushed"
    for name, body in online.files["trial"].items():
        (pushed / name).parent.mkdir(parents=True, exist_ok=True)
        (pushed / name).write_bytes(body)
    copy = Copy(tmp_path / "user")
    copy.keep_on_hub("org/tuned", pushed, revision="trial")

    found = copy.run({"pushed": (pushed / "README.md").read_text()})

    assert found["pushed"]


@pytest.mark.parametrize(
    ("name", "revision", "loads_as", "wanted"),
    [
        pytest.param("org/base", "main", "org/base", None, id="the hub"),
        pytest.param("gpt2", None, "gpt2", None, id="without an owner"),
        pytest.param("hf://org/base", "main", "org/base", None, id="by its scheme"),
        pytest.param("org/base", "v1", "org/base", "v1", id="a branch"),
        pytest.param("/models/base", "main", "/models/base", None, id="a folder"),
        pytest.param("/models/base", "v1", "/models/base", None, id="a folder has no branches"),
        pytest.param("file:///models/my%20base", None, "/models/my base", None, id="file://"),
        pytest.param("s3://models/base", "main", None, None, id="s3"),
        pytest.param("gs://models/base", "main", None, None, id="gs"),
        pytest.param("az://models/base", "main", None, None, id="az"),
        pytest.param("S3://models/base", "main", None, None, id="in capitals"),
        pytest.param("https://models.example/base", "main", None, None, id="the web"),
    ],
)
def test_a_base_model_is_named_as_libraries_load_it_or_not_at_all(
    name: str, revision: str | None, loads_as: str | None, wanted: str | None
) -> None:
    base = BaseModel.of(name, revision)

    assert (base.loads_as, base.revision) == (loads_as, wanted)


def test_a_directory_with_a_hub_like_name_is_treated_as_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    base = BaseModel.of("models/llama", is_folder=True)

    assert base == BaseModel(loads_as=str(tmp_path / "models" / "llama"))


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("s3://models/tiny", "aws s3 cp --recursive s3://models/tiny base"),
        ("s3://models/my tiny", "aws s3 cp --recursive 's3://models/my tiny' base"),
        (
            "gs://models/tiny",
            "mkdir base && gcloud storage rsync --recursive gs://models/tiny base",
        ),
        (
            "az://models/bases/tiny",
            AZ_BELOW,
        ),
        (
            "az://models",
            "mkdir base && az storage blob download-batch --source models --destination base",
        ),
    ],
)
def test_a_card_shows_how_to_download_a_base_model_from_its_store(uri: str, command: str) -> None:
    card = model_card(a_story(run=a_parsed_run(model_name_or_path=uri)), "adapter")

    assert download_command(uri) == command
    assert blocks(card, "sh") == [f"{command}\n"]
    assert 'AutoModelForCausalLM.from_pretrained("base")' in loading(card)
    assert uri not in loading(card)


@pytest.mark.parametrize("where", ["org/base", "/models/base"])
def test_a_card_requires_no_manual_download_if_libraries_can_load_the_model(where: str) -> None:
    card = model_card(a_story(run=a_parsed_run(model_name_or_path=where)), "adapter")

    assert blocks(card, "sh") == []
    assert f'AutoModelForCausalLM.from_pretrained("{where}")' in loading(card)


@pytest.mark.parametrize("kind", ["adapter", "model"])
@pytest.mark.parametrize(
    "name",
    ['/models/"base"', "/models/back\\slash", "/models/it's", "/models/grün", "/models/a\nb"],
)
def test_the_code_of_a_card_is_valid_for_any_directory_name(name: str, kind: str) -> None:
    card = model_card(
        a_story(run=a_parsed_run(model_name_or_path=name), added_tokens=("<|tool|>",)), kind
    )

    tree = ast.parse(loading(card))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert (name in texts) == (kind == "adapter")


@pytest.mark.parametrize("kind", ["adapter", "model"])
def test_the_card_of_a_model_with_remote_code_allows_it(kind: str) -> None:
    run = a_parsed_run(model_name_or_path="org/base", trust_remote_code=True)

    python = loading(model_card(a_story(run=run), kind))

    models = [line for line in python.splitlines() if "Auto" in line and "from_pretrained" in line]
    assert len(models) == 2
    assert all("trust_remote_code=True" in line for line in models)


def test_the_card_of_a_vision_model_loads_its_processor() -> None:
    card = model_card(a_story(has_processor=True, added_tokens=("<|tool|>",)), "adapter")

    python = loading(card)
    assert "AutoModelForImageTextToText.from_pretrained" in python
    assert 'processor = AutoProcessor.from_pretrained("adapter")' in python
    assert "len(processor.tokenizer)" in python
    assert "AutoModelForCausalLM" not in python
    assert "pipeline_tag: image-text-to-text" in card


def test_the_card_of_a_merged_model_does_not_load_the_pushed_adapter() -> None:
    run = a_parsed_run(push_to_hub=True, hub_revision="trial")
    story = a_story(run=run, is_to_be_merged=True, run_facts=RunFacts(repository="org/tuned"))

    assert 'from_pretrained("org/tuned", revision="trial")' in model_card(story, "adapter")
    assert loading(model_card(story, "model")).count('from_pretrained("model")') == 2


def test_the_card_of_a_local_directory_links_nothing_on_the_hub() -> None:
    story = a_story(
        run=a_parsed_run(model_name_or_path="models/llama"),
        run_facts=RunFacts(base_is_folder=True),
    )

    assert "base_model:" not in model_card(story, "adapter")


def test_other_fields_of_an_adapters_config_are_unchanged(tmp_path: Path) -> None:
    from finetune_trainer.publication.artifact import name_base_model

    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"r": 8, "base_model_name_or_path": "/work/inputs/0"}))

    name_base_model(tmp_path, BaseModel.of("org/base", "v1"))

    assert json.loads(path.read_text()) == {
        "r": 8,
        "base_model_name_or_path": "org/base",
        "revision": "v1",
    }
