# SPDX-License-Identifier: Apache-2.0
"""A finished training is verified within the available memory, and never fails for lack of it.

The shortage is simulated: by a smaller report of free memory, or by a loader that raises torch's
error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from trainer.in_process import train
from trainer.ranks.test_verification import (
    FULL,
    changing_what_was_saved,
    with_another_shape,
    without_a_tensor,
)
from trainer.tiny_models import a_model

pytestmark = [pytest.mark.slow]


@contextmanager
def with_room(host_bytes: int) -> Iterator[None]:
    from finetune_trainer.ranks import placed
    from finetune_trainer.ranks.placement import Room

    with mock.patch.object(placed, "room_here", return_value=Room(host_bytes=host_bytes)):
        yield


@contextmanager
def with_a_loader_that_raises(error: Exception) -> Iterator[None]:
    """A fake: every load of the verification ends with this error; training loads under another
    name.
    """
    from finetune_trainer.ranks import placed

    def load(*_: Any, **__: Any) -> None:
        raise error

    with mock.patch.object(placed, "create_model_from_path", load):
        yield


@pytest.mark.parametrize("tuning", [{}, FULL], ids=["adapter", "full"])
def test_an_artifact_that_cannot_be_loaded_is_verified_by_its_tensors_with_a_note(
    tmp_path: Path, tiny_model: Path, dialogues: Path, tuning: dict[str, Any]
) -> None:
    with with_room(1):
        done = train(tmp_path, tiny_model, dialogues, **tuning)

    assert done.outcome.failure is None, done.words()
    assert done.outcome.adapter_verified
    assert done.outcome.note.startswith("verified by its tensors: the base model needs ")
    assert done.outcome.note.endswith("has 1 available; no answers were generated")
    assert (done.published / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("change", "tuning"),
    [
        pytest.param(without_a_tensor, {}, id="adapter, a tensor is missing"),
        pytest.param(with_another_shape, {}, id="adapter, does not fit the base model"),
        pytest.param(without_a_tensor, FULL, id="full, a tensor is missing"),
        pytest.param(with_another_shape, FULL, id="full, does not fit its config"),
    ],
)
def test_a_broken_artifact_is_a_failure_by_its_tensors_too(
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    change: Callable[[Path], None],
    tuning: dict[str, Any],
) -> None:
    with with_room(1), changing_what_was_saved(change):
        done = train(tmp_path, tiny_model, dialogues, max_steps=1, **tuning)

    assert done.words().startswith("ArtifactBroken: ")
    assert not (done.published / "manifest.json").exists()


@pytest.mark.parametrize(
    "text",
    ["CUDA out of memory. Tried to allocate 2.00 GiB", "CUDA error: out of memory"],
)
def test_running_out_of_memory_while_verifying_does_not_fail_the_training(
    tmp_path: Path, tiny_model: Path, dialogues: Path, text: str
) -> None:
    import torch

    with with_a_loader_that_raises(torch.OutOfMemoryError(text)):
        done = train(tmp_path, tiny_model, dialogues)

    assert done.outcome.failure is None, done.words()
    assert done.outcome.adapter_verified
    assert "loading it ran out of memory; no answers were generated" in done.outcome.note


def test_every_placement_is_tried_before_tensors_only() -> None:
    import torch

    from finetune_trainer.ranks.placed import DoesNotFit, first_that_works
    from finetune_trainer.ranks.placement import Place, Placement

    tried = []

    def attempt(placement: Placement) -> Place:
        tried.append(placement.place)
        match placement.place:
            case Place.ONE:
                raise torch.OutOfMemoryError("CUDA out of memory")
            case Place.SPREAD:
                raise RuntimeError("CUDA error: out of memory")
            case Place.OFFLOADED:
                raise DoesNotFit("the embeddings are offloaded")
        return placement.place

    assert first_that_works([Placement(place=place) for place in Place], attempt) is Place.TENSORS
    assert tried == list(Place)


def test_another_error_is_not_mistaken_for_a_lack_of_memory() -> None:
    from finetune_trainer.ranks.placed import first_that_works
    from finetune_trainer.ranks.placement import Place, Placement

    def attempt(placement: Placement) -> None:
        del placement
        raise ValueError("the config is broken")

    with pytest.raises(ValueError, match="the config is broken"):
        first_that_works([Placement(place=place) for place in Place], attempt)


def test_an_offloaded_model_with_its_adapter_computes_the_same_as_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers stay on the disk, as they would stay in host memory with a GPU: the same hooks."""
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    from finetune_trainer.ranks.blueprint import draw, measure
    from finetune_trainer.ranks.evaluation import samples
    from finetune_trainer.ranks.placed import attach_adapter, load_placed
    from finetune_trainer.ranks.placement import CPU, Place, Placement
    from trainer.ranks.test_tensor_merging import an_adapter, loaded

    # PEFT writes offloaded tensors to disk again, below the working directory.
    monkeypatch.chdir(tmp_path)
    base = a_model(tmp_path / "base", num_hidden_layers=4)
    adapter = an_adapter(loaded(base, torch.float32), tmp_path / "adapter", task_type="CAUSAL_LM")
    weights = measure(draw(str(base), {}))
    devices = {**dict.fromkeys(weights.rest, CPU), **dict.fromkeys(weights.layers, CPU)}
    devices |= dict.fromkeys([*weights.layers][1:3], "disk")
    placement = Placement(place=Place.OFFLOADED, device_map=devices)

    tuned = attach_adapter(load_placed(str(base), {}, placement), adapter, placement)

    whole = PeftModel.from_pretrained(loaded(base, torch.float32), adapter).eval()
    ids = torch.arange(1, 9).unsqueeze(0)
    with torch.no_grad():
        assert torch.equal(tuned(input_ids=ids).logits, whole(input_ids=ids).logits)
    assert any(parameter.device.type == "meta" for parameter in tuned.parameters())
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompts, budget = [samples.Prompt(content="Hi", expected="")], samples.Budget(max_tokens=3)
    assert samples.answers(tuned, tokenizer, prompts, budget) == samples.answers(
        whole, tokenizer, prompts, budget
    )


def test_the_predicted_memory_of_a_model_is_what_it_takes_once_loaded(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from finetune_trainer.ranks.blueprint import weights_of

    place = a_model(tmp_path / "base", tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_pretrained(place)
    taken = sum(it.numel() * it.element_size() for it in [*model.parameters(), *model.buffers()])

    weights = weights_of(str(place), {})

    assert weights is not None
    assert weights.total_bytes == taken
    assert [*weights.layers] == ["model.layers.0", "model.layers.1"]


def test_answers_that_take_too_long_are_stopped_with_a_note(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from finetune_trainer.ranks import verification

    with mock.patch.object(verification, "MOST_SECONDS", 0.0):
        done = train(tmp_path, tiny_model, dialogues)

    assert done.outcome.failure is None, done.words()
    assert "1 of 1 held-out prompts were not answered after training" in done.outcome.note
