# SPDX-License-Identifier: Apache-2.0
"""A merged model: whole, alone, and computing what base and adapter compute together."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import Trained, train

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dialogues: Path) -> Trained:
    place = tmp_path_factory.mktemp("merged")
    return train(place, tiny_model, dialogues, merge_adapter=True, max_steps=4)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 9).unsqueeze(0)).logits


def test_the_merged_model_loads_alone_and_answers_as_base_and_adapter_do(
    merged: Trained, tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    untuned = logits(base)
    tuned = logits(PeftModel.from_pretrained(base, merged.published / "adapter"))
    alone = logits(AutoModelForCausalLM.from_pretrained(merged.published / "model"))

    torch.testing.assert_close(alone, tuned, rtol=1e-4, atol=1e-4)
    assert (tuned - untuned).abs().max() > 100 * (alone - tuned).abs().max()


def test_the_artifact_stays_the_adapter_and_the_manifest_lists_both(merged: Trained) -> None:
    artifact = merged.outcome.artifact
    manifest = json.loads((merged.published / "manifest.json").read_text())
    listed = {file["path"] for file in manifest["files"]}

    assert artifact is not None
    assert artifact.uri.endswith("/adapter")
    assert {"adapter/adapter_model.safetensors", "model/model.safetensors"} <= listed
    assert {"model/tokenizer.json", "model/chat_template.jinja", "model/README.md"} <= listed
    assert manifest["facts"]["merged"] is True


def test_nothing_that_is_published_names_the_work_folder(merged: Trained) -> None:
    work = str(merged.workspace.root).encode()
    naming = [
        path.relative_to(merged.published).as_posix()
        for path in merged.published.rglob("*")
        if path.is_file() and work in path.read_bytes()
    ]

    assert naming == []


def test_a_model_that_computes_something_else_is_not_published(
    merged: Trained, tiny_model: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.merging import logits_of, require_equal_logits

    size = len(AutoTokenizer.from_pretrained(tiny_model))
    expected = logits_of(AutoModelForCausalLM.from_pretrained(merged.published / "model"), size)

    require_equal_logits(merged.published / "model", expected, expected.dtype, size)
    with pytest.raises(AttemptFailed, match="something else than base and adapter") as caught:
        # Its adapter was lost on the way.
        require_equal_logits(tiny_model, expected, expected.dtype, size)
    assert caught.value.failure.reason == "MergeDiffers"


def test_tokens_that_were_added_are_in_the_merged_model(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trained = train(tmp_path, tiny_model, dialogues, merge_adapter=True, added_tokens=["<|tool|>"])

    assert trained.outcome.failure is None, trained.words()
    model = AutoModelForCausalLM.from_pretrained(trained.published / "model")
    tokenizer = AutoTokenizer.from_pretrained(trained.published / "model")
    place = tokenizer.convert_tokens_to_ids("<|tool|>")
    assert place < model.get_input_embeddings().num_embeddings


def test_nothing_is_merged_unless_it_is_asked_for(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues)

    assert (trained.published / "adapter").is_dir()
    assert not (trained.published / "model").exists()
