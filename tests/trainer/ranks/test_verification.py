# SPDX-License-Identifier: Apache-2.0
"""Succeeded means usable: each check can fail, and reports the reason in its user's terms."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.exchange.history import Record, require_no_worse_than_base
from finetune_trainer.failures.errors import AttemptFailed
from trainer.in_process import train

EVALUATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2}
FULL: dict[str, Any] = {"use_peft": None, "lora_r": None}


@contextmanager
def changing_what_was_saved(change: Callable[[Path], None]) -> Iterator[None]:
    """Changes the saved artifact after it was written and before it is verified."""
    from finetune_trainer.ranks import verification

    verify = verification.verify

    def changed(workspace: Any, *rest: Any, **options: Any) -> Any:
        change(workspace.artifact)
        return verify(workspace, *rest, **options)

    with mock.patch.object(verification, "verify", changed):
        yield


def without_a_tensor(artifact: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = next(artifact.glob("*.safetensors"))
    tensors = load_file(file)
    del tensors[min(tensors)]
    save_file(tensors, file, {"format": "pt"})


def with_another_shape(artifact: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = next(artifact.glob("*.safetensors"))
    tensors = {name: tensor[:1].contiguous() for name, tensor in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})


def cut_short(artifact: Path) -> None:
    file = next(artifact.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])


def without_tensors(artifact: Path) -> None:
    for file in artifact.glob("*.safetensors"):
        file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [{}, FULL], ids=["adapter", "full"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(without_a_tensor, "ArtifactBroken", id="a tensor is missing"),
        pytest.param(with_another_shape, "ArtifactBroken", id="does not fit the base model"),
        pytest.param(cut_short, "ArtifactBroken", id="cut short"),
        pytest.param(without_tensors, "NothingSaved", id="no tensors"),
    ],
)
def test_an_artifact_that_does_not_load_completely_is_a_failure(
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    change: Callable[[Path], None],
    reason: str,
    tuning: dict[str, Any],
) -> None:
    with changing_what_was_saved(change):
        done = train(tmp_path, tiny_model, dialogues, max_steps=1, **tuning)

    failure = done.outcome.failure
    assert failure is not None
    assert (failure.reason, failure.category, failure.phase) == (
        reason,
        Category.INTERNAL,
        "Verifying",
    )
    assert not (done.published / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({}, "every lora_B is zero", id="LoRA"),
        pytest.param({"use_rslora": True}, "every lora_B is zero", id="rsLoRA"),
        pytest.param({"use_dora": True}, "every lora_B is zero", id="DoRA"),
        pytest.param(FULL, "no tensor has changed", id="full"),
    ],
)
def test_unchanged_weights_are_a_failure(
    tmp_path: Path, tiny_model: Path, dialogues: Path, config: dict[str, Any], words: str
) -> None:
    done = train(tmp_path, tiny_model, dialogues, max_steps=1, learning_rate=0.0, **config)

    assert done.words().startswith("NothingTrained: ")
    assert words in done.words()


@pytest.mark.slow
def test_a_model_worse_than_its_base_is_a_failure_and_is_kept(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(
        *(tmp_path, tiny_model, dialogues),
        **{**EVALUATED, **FULL, "learning_rate": 10.0, "max_grad_norm": 0.0, "max_steps": 4},
    )

    failure = done.outcome.failure
    assert failure is not None
    assert (failure.reason, failure.category, failure.phase) == (
        *("WorseThanBase", Category.USER),
        "Verifying",
    )
    assert "for the base model untrained" in failure.message
    assert not done.outcome.adapter_verified
    assert not (done.published / "manifest.json").exists()
    assert not (done.published.parent / "latest.json").exists()
    kept = done.published / "rejected"
    assert failure.message.endswith(f"the trained artifact is kept in {kept.as_uri()}")
    assert (kept / "model" / "model.safetensors").is_file()
    assert "eval_loss" in (kept / "report" / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_training_that_diverges_to_nan_is_a_failure(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(tmp_path, tiny_model, dialogues, learning_rate=1e38, max_grad_norm=0.0)

    assert done.words().startswith("NotFinite: ")
    assert "lower learning_rate" in done.words()


@pytest.mark.slow
def test_training_that_has_diverged_is_stopped_early(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    hopeless = {"learning_rate": 1e38, "max_grad_norm": 0.0, "logging_steps": 1, "max_steps": 300}

    done = train(tmp_path, tiny_model, dialogues, **hopeless)

    assert done.words().startswith("NotFinite: since step 2 no gradient is a finite number")


@pytest.mark.slow
def test_a_full_model_with_renamed_weights_is_compared_with_its_base(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from finetune_trainer.ranks.soundness import require_moved

    artifact, base = tmp_path / "artifact", tmp_path / "base"
    artifact.mkdir()
    base.mkdir()
    tensor = torch.tensor([1.0, 2.0])
    save_file({"a.weight": tensor, "b.weight": tensor + 1}, artifact / "model.safetensors")
    save_file({"other": tensor}, base / "model.safetensors")

    require_moved(artifact, str(base), None, lambda: {"a.weight": tensor, "b.weight": tensor})
    same = {"a.weight": tensor, "b.weight": tensor + 1}
    with pytest.raises(AttemptFailed, match="no tensor has changed"):
        require_moved(artifact, str(base), None, lambda: same)


def evaluated(step: int, **figures: float) -> Record:
    return {"step": step, **{f"eval_{name}": value for name, value in figures.items()}}


@pytest.mark.parametrize(
    ("history", "options", "reason"),
    [
        pytest.param([evaluated(0, loss=4.0), evaluated(5, loss=2.0)], {}, None, id="better"),
        pytest.param(
            [evaluated(0, loss=4.0), evaluated(5, loss=4.03)], {}, None, id="within tolerance"
        ),
        pytest.param(
            [evaluated(0, loss=4.0), evaluated(5, loss=4.05)], {}, "WorseThanBase", id="worse"
        ),
        pytest.param(
            [evaluated(0, loss=4.0), evaluated(3, loss=2.0), evaluated(5, loss=5.0)],
            {"published_step": 3},
            None,
            id="the best is published, not the last",
        ),
        pytest.param(
            [evaluated(0, loss=4.0), evaluated(5, loss=math.nan)], {}, "NotFinite", id="no number"
        ),
        pytest.param([evaluated(0, loss=4.0)], {}, None, id="never evaluated again"),
        pytest.param([evaluated(5, loss=9.0)], {}, None, id="the base model was not evaluated"),
        pytest.param(
            [evaluated(0, loss=1.0, bleu=0.1), evaluated(5, loss=2.0, bleu=0.2)],
            {"metric": "eval_bleu", "is_greater_better": True},
            None,
            id="better by the user's own metric",
        ),
        pytest.param(
            [evaluated(0, loss=2.0, bleu=0.3), evaluated(5, loss=1.0, bleu=0.2)],
            {"metric": "eval_bleu", "is_greater_better": True},
            "WorseThanBase",
            id="worse by the user's own metric",
        ),
    ],
)
def test_a_result_worse_than_the_base_model_is_refused(
    history: list[Record], options: dict[str, Any], reason: str | None
) -> None:
    if reason is None:
        require_no_worse_than_base(history, **options)
        return
    with pytest.raises(AttemptFailed) as caught:
        require_no_worse_than_base(history, **options)
    assert (caught.value.failure.reason, caught.value.failure.category) == (reason, Category.USER)
