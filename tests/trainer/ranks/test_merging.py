# SPDX-License-Identifier: Apache-2.0
"""A merged model: complete, self-contained, and with the same results as base and adapter
together.
"""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_contract.notes import NoteReason, Severity
from finetune_trainer.supervision import launching
from trainer.in_process import Trained, carry_out_here, train

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dialogues: Path) -> Trained:
    place = tmp_path_factory.mktemp("merged")
    return train(place, tiny_model, dialogues, merge_adapter=True, max_steps=4)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 9).unsqueeze(0)).logits


def test_the_merged_model_loads_alone_and_answers_like_base_and_adapter(
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


def test_the_adapter_stays_the_artifact_and_each_has_a_manifest(merged: Trained) -> None:
    artifact = merged.outcome.artifact
    manifests = [
        json.loads((merged.published / name).read_text())
        for name in ("manifest.json", "merged.json")
    ]
    listed, beside = ({file["path"] for file in each["files"]} for each in manifests)

    assert artifact is not None
    assert artifact.uri.endswith("/adapter")
    assert "adapter/adapter_model.safetensors" in listed
    assert {"model/model.safetensors", "model/tokenizer.json"} <= beside
    assert {"model/chat_template.jinja", "model/README.md"} <= beside
    assert manifests[1]["facts"] == {"adapter": artifact.digest}


def test_nothing_published_names_the_working_directory(merged: Trained) -> None:
    work = str(merged.workspace.root).encode()
    naming = [
        path.relative_to(merged.published).as_posix()
        for path in merged.published.rglob("*")
        if path.is_file() and work in path.read_bytes()
    ]

    assert naming == []


def test_a_merged_model_that_computes_different_results_is_not_published(
    merged: Trained, tiny_model: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.merging import logits_of, require_equal_logits

    size = len(AutoTokenizer.from_pretrained(tiny_model))
    expected = logits_of(AutoModelForCausalLM.from_pretrained(merged.published / "model"), size)

    require_equal_logits(merged.published / "model", expected, expected.dtype, size)
    with pytest.raises(
        AttemptFailed, match="does not compute the same as base and adapter"
    ) as caught:
        # Its adapter was lost.
        require_equal_logits(tiny_model, expected, expected.dtype, size)
    assert caught.value.failure.reason == "MergeDiffers"


def test_a_failed_merge_loses_nothing_and_is_repeated_in_its_own_process(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from finetune_trainer.ranks import merging

    broken = mock.patch.object(merging, "_merge_whole", side_effect=KeyError("q_proj"))
    with broken:
        failed = train(tmp_path, tiny_model, dialogues, merge_adapter=True)

    assert failed.outcome.failure is None, failed.words()
    assert failed.outcome.adapter_verified
    (note,) = failed.outcome.notes
    assert (note.severity, note.reason) == (Severity.WARNING, NoteReason.EXTRA_MISSING)
    assert note.message.startswith("not merged: while merging: there is no 'q_proj'")
    assert not (failed.published / "model").exists()

    again = carry_out_here(failed.run, tmp_path, merge=launching.run_alone)

    assert again.outcome.failure is None, again.words()
    assert again.outcome.artifact == failed.outcome.artifact
    assert not again.workspace.metrics.exists()
    assert {note.reason for note in again.outcome.notes} == {
        NoteReason.NOTHING_TRAINED,
        NoteReason.EXTRA_MADE,
    }
    alone = again.published / "model"
    assert logits(loaded(alone)).sub(logits(tuned(again, tiny_model))).abs().max() < 1e-4


def loaded(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def tuned(trained: Trained, base: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(loaded(base), trained.published / "adapter")


def test_added_tokens_are_in_the_merged_model(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trained = train(tmp_path, tiny_model, dialogues, merge_adapter=True, added_tokens=["<|tool|>"])

    assert trained.outcome.failure is None, trained.words()
    model = AutoModelForCausalLM.from_pretrained(trained.published / "model")
    tokenizer = AutoTokenizer.from_pretrained(trained.published / "model")
    place = tokenizer.convert_tokens_to_ids("<|tool|>")
    assert place < model.get_input_embeddings().num_embeddings


def test_nothing_is_merged_unless_requested(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues)

    assert (trained.published / "adapter").is_dir()
    assert not (trained.published / "model").exists()
