# SPDX-License-Identifier: Apache-2.0
"""Merging by tensors: the same result as PEFT's own merge, without loading the base model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from finetune_contract.notes import NoteReason, Severity
from trainer.in_process import train
from trainer.tiny_models import a_model

pytestmark = [pytest.mark.slow]

PATTERNS = {"rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 6}}
ALPHAS = {"alpha_pattern": {"q_proj": 32}}


def an_adapter(base: Any, place: Path, **options: Any) -> Path:
    """Initialized at random, as if it had been trained."""
    import torch
    from peft import LoraConfig, get_peft_model

    options = {"r": 4, "target_modules": ["q_proj", "down_proj"], **options}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tuned = get_peft_model(base, LoraConfig(init_lora_weights=False, **options))
    tuned.save_pretrained(place)
    return place


def loaded(place: Path, dtype: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(place, dtype=dtype)


def tensors_in(place: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {
        name: it for file in place.glob("*.safetensors") for name, it in load_file(file).items()
    }


def a_heart() -> Any:
    """A fake: its heartbeats are ignored."""
    return SimpleNamespace(beat=lambda doing: None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="LoRA"),
        pytest.param({"use_rslora": True, "lora_alpha": 16}, id="rsLoRA"),
        pytest.param({**PATTERNS, **ALPHAS}, id="ranks and alphas by pattern"),
    ],
)
def test_merging_by_tensors_equals_pefts_result_byte_for_byte(
    tmp_path: Path, options: dict[str, Any], dtype: str
) -> None:
    import torch
    from peft import PeftModel

    from finetune_trainer.ranks import tensor_merging

    kind = getattr(torch, dtype)
    place = a_model(tmp_path / "base", tie_word_embeddings=False)
    adapter = an_adapter(loaded(place, kind), tmp_path / "adapter", **options)
    tuned = PeftModel.from_pretrained(loaded(place, kind), adapter)
    expected = dict(tuned.merge_and_unload(safe_merge=True).state_dict())

    # Small files, so that there are several and an index.
    changes = tensor_merging.changes_in(place, adapter, loaded(place, kind))
    with mock.patch.object(tensor_merging, "SHARD_BYTES", 2_000_000):
        tensor_merging.merge_by_tensors(place, changes, tmp_path / "merged", kind, a_heart())

    tensor_merging.require_merged(place, changes, tmp_path / "merged", kind)
    found = tensors_in(tmp_path / "merged")
    assert len([*(tmp_path / "merged").glob("model-*-of-*.safetensors")]) > 1
    assert set(found) == set(expected)
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"use_dora": True}, "use_dora", id="DoRA"),
        pytest.param({"modules_to_save": ["lm_head"]}, "modules_to_save", id="modules whole"),
        pytest.param({"trainable_token_indices": [5]}, "rows of new tokens", id="token rows"),
        pytest.param({"bias": "lora_only"}, "bias", id="biases"),
    ],
)
def test_an_adapter_beyond_plain_lora_is_left_to_peft(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    import torch

    from finetune_trainer.ranks.tensor_merging import CannotMerge, changes_of

    place = a_model(tmp_path / "base", tie_word_embeddings=False)
    options = {"target_modules": ["q_proj"], **options}
    adapter = an_adapter(loaded(place, torch.float32), tmp_path / "adapter", **options)

    with pytest.raises(CannotMerge, match=words):
        changes_of(adapter)


def test_a_base_with_differently_named_weights_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from finetune_trainer.ranks import tensor_merging

    place = a_model(tmp_path / "base", tie_word_embeddings=False)
    adapter = an_adapter(loaded(place, torch.float32), tmp_path / "adapter")
    drawn = loaded(place, torch.float32)
    file = place / "model.safetensors"
    save_file({f"transformer.{name}": it for name, it in load_file(file).items()}, file)

    changes = tensor_merging.changes_in(place, adapter, drawn)

    with pytest.raises(tensor_merging.CannotMerge, match="it has a different name there"):
        tensor_merging.merge_by_tensors(
            place, changes, tmp_path / "merged", torch.float32, a_heart()
        )


def test_a_base_without_safetensors_has_no_files_to_merge_from(tmp_path: Path) -> None:
    from finetune_trainer.ranks.soundness import folder_of

    assert folder_of(str(tmp_path), None) is None


def test_a_base_larger_than_host_memory_gives_the_same_merged_model(
    tmp_path: Path, dialogues: Path
) -> None:
    import torch

    from finetune_trainer.ranks import merging
    from finetune_trainer.ranks.placement import Room

    base = a_model(tmp_path / "base", tie_word_embeddings=False)
    usual = train(tmp_path / "usual", base, dialogues, merge_adapter=True)

    with mock.patch.object(merging, "room_here", return_value=Room(host_bytes=1)):
        small = train(tmp_path / "small", base, dialogues, merge_adapter=True)

    assert small.outcome.failure is None, small.words()
    (note,) = small.outcome.notes
    assert (note.severity, note.reason) == (Severity.INFO, NoteReason.EXTRA_MADE)
    assert note.message.startswith("merged by tensors: the base model needs ")
    assert note.message.endswith(" but this node has 1 available")
    expected = loaded(usual.published / "model", torch.float32).state_dict()
    found = loaded(small.published / "model", torch.float32).state_dict()
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    listed = {path.name for path in (usual.published / "model").iterdir()}
    assert listed == {path.name for path in (small.published / "model").iterdir()}


def test_a_run_that_cannot_be_merged_in_this_memory_succeeds_with_its_adapter(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from finetune_trainer.ranks import merging
    from finetune_trainer.ranks.placement import Room

    with mock.patch.object(merging, "room_here", return_value=Room(host_bytes=1)):
        done = train(tmp_path, tiny_model, dialogues, merge_adapter=True, use_dora=True)

    assert done.outcome.failure is None, done.words()
    assert done.outcome.adapter_verified
    (note,) = done.outcome.notes
    assert (note.severity, note.reason) == (Severity.WARNING, NoteReason.EXTRA_MISSING)
    assert note.message.startswith("not merged: the adapter has use_dora, which only PEFT")
    assert note.message.endswith("; the same job, run again, does not train but only merges")
    assert (done.published / "adapter").is_dir()
    assert not (done.published / "model").exists()


def test_running_out_of_memory_while_merging_does_not_fail_the_run(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    import torch

    from finetune_trainer.ranks import merging

    def exhausted(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.32 GiB")

    with mock.patch.object(merging, "_merge_whole", exhausted):
        done = train(tmp_path, tiny_model, dialogues, merge_adapter=True)

    assert done.outcome.failure is None, done.words()
    (note,) = done.outcome.notes
    assert note.reason == NoteReason.EXTRA_MADE
    assert "loading it ran out of memory" in note.message
    assert (done.published / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(
            '{"weight_map": {"lm_head.weight": "../other/model.safetensors"}}', id="above"
        ),
        pytest.param('{"weight_map": {"lm_head.weight": "/etc/model.safetensors"}}', id="absolute"),
        pytest.param('{"weight_map": {"lm_head.weight": "deep/model.safetensors"}}', id="below"),
        pytest.param('{"weight_map": {"lm_head.weight": ["model.safetensors"]}}', id="no name"),
        pytest.param('{"weight_map": ["model.safetensors"]}', id="no map"),
        pytest.param("[" * 9000, id="9,000 levels"),
        pytest.param("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), id="no JSON"),
    ],
)
def test_an_index_that_names_files_outside_its_directory_is_refused(
    index: str, tmp_path: Path
) -> None:
    from finetune_trainer.ranks.tensor_merging import CannotMerge, place_of_tensors

    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(CannotMerge, match=r"index\.json"):
        place_of_tensors(tmp_path)
