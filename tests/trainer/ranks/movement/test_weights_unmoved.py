# SPDX-License-Identifier: Apache-2.0
"""A success has changed every trained weight; weights on other devices are not trained at all."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.errors import AttemptFailed
from support.long_form import keeping
from trainer import faults
from trainer.in_process import train
from trainer.lab import WHOLE, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FULL: dict[str, Any] = {"use_peft": None, "lora_r": None}
STEPS = {"max_steps": 2}


@pytest.mark.parametrize(
    ("fault", "config", "layer", "cause"),
    [
        pytest.param(
            partial(faults.detach, faults.WHOLE_LAYER),
            FULL,
            faults.WHOLE_LAYER,
            "their layers received gradients, but they did not",
            id="no gradient reaches a layer",
        ),
        pytest.param(
            partial(faults.skip_in_optimizer, faults.LORA_LAYER),
            {},
            faults.LORA_LAYER,
            "they received a gradient, but the optimizer did not change them",
            id="the optimizer leaves out a part of an adapter",
        ),
    ],
)
def test_weights_that_were_not_trained_are_a_failure_and_the_training_is_kept(
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    fault: Any,
    config: dict[str, Any],
    layer: str,
    cause: str,
) -> None:
    with fault():
        done = train(tmp_path, tiny_model, dialogues, **config, **STEPS)

    failure = done.outcome.failure
    assert failure is not None, done.outcome
    assert (failure.reason, failure.category) == ("WeightsUnmoved", Category.USER)
    assert f"{cause}: {layer}.weight" in failure.message
    assert failure.message.startswith(
        f"1 of {len(done.fates())} trained tensors are unchanged from"
    )
    assert (done.published / "rejected").is_dir()
    assert not (done.published / "manifest.json").exists()


@pytest.mark.parametrize("profile", keeping(("zero3",), ["ddp", "fsdp2", "zero3"]))
def test_a_layer_without_gradients_is_detected_with_several_processes_too(
    lab: Lab, profile: str
) -> None:
    # By default, torch itself waits under DDP for a gradient that never arrives.
    config = {
        **WHOLE,
        **STEPS,
        "accelerate_config": profile,
        "ddp_find_unused_parameters": True,
    }

    done = lab.train(processes=2, before=faults.detach_in_this_rank, **config)

    assert done.words().startswith("WeightsUnmoved: 1 of 21 trained tensors"), done.outcome
    assert f"but they did not: {faults.WHOLE_LAYER}.weight" in done.words()
    assert done.fates()[f"{faults.WHOLE_LAYER}.weight"] == "unreached"


@pytest.mark.parametrize(
    ("config", "layer", "words"),
    [
        pytest.param(
            FULL,
            faults.WHOLE_LAYER,
            "training has changed model.layers.1.mlp.down_proj.weight which are the base model's "
            "in the saved artifact",
            id="whole model",
        ),
        pytest.param(
            {},
            faults.LORA_LAYER,
            "training has changed base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight "
            "which are zero in the saved artifact",
            id="adapter",
        ),
    ],
)
def test_weights_saved_in_their_state_before_training_are_a_failure(
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    config: dict[str, Any],
    layer: str,
    words: str,
) -> None:
    with faults.put_back(layer):
        done = train(tmp_path, tiny_model, dialogues, **config, **STEPS)

    assert done.words().startswith("ArtifactBroken: ")
    assert words in done.words()


@pytest.mark.parametrize("config", [FULL, {}], ids=["whole model", "adapter"])
def test_an_offloaded_layer_ends_the_run_before_its_first_step(
    tmp_path: Path, tiny_model: Path, dialogues: Path, config: dict[str, Any]
) -> None:
    with faults.offload("model.layers.1"):
        done = train(tmp_path, tiny_model, dialogues, **config)

    failure = done.outcome.failure
    assert failure is not None, done.outcome
    assert (failure.reason, failure.category) == ("OutOfMemory", Category.OUT_OF_MEMORY)
    assert failure.message.startswith("the model does not fit into the memory of one machine: ")
    assert "model.layers.1.self_attn.q_proj.weight (meta)" in failure.message
    assert done.outcome.step == 0


@pytest.mark.parametrize(
    ("fault", "config", "note"),
    [
        pytest.param(
            faults.add_spare_layer,
            FULL,
            "2 of 23 trained tensors took no part in training, such as spare.weight",
            id="a layer that nothing calls",
        ),
        pytest.param(
            None,
            {**FULL, "dtype": "bfloat16", "learning_rate": 1e-5},
            "5 of 21 trained tensors did not change: their updates round to nothing in bfloat16; "
            "set dtype: float32",
            id="norms in bfloat16",
        ),
    ],
)
def test_weights_that_are_unchanged_for_a_reason_are_noted_without_a_failure(
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    fault: Any,
    config: dict[str, Any],
    note: str,
) -> None:
    if fault is None:
        done = train(tmp_path, tiny_model, dialogues, **config)
    else:
        with fault():
            done = train(tmp_path, tiny_model, dialogues, **config)

    assert done.outcome.failure is None, done.outcome
    assert done.outcome.note == note


def a_rank(device: str, **how: Any) -> Any:
    """The attributes of a rank's arguments that are read. A fake: no test machine has a GPU."""
    import torch
    from accelerate.utils import DistributedType

    kind = how.pop("kind", DistributedType.NO)
    usual = {"fsdp": False, "deepspeed_plugin": None}
    return SimpleNamespace(
        **{**usual, **how},
        device=torch.device(device),
        distributed_state=SimpleNamespace(distributed_type=kind),
    )


@pytest.mark.parametrize(
    ("device", "how", "expected"),
    [
        pytest.param("cuda:0", {}, {"": 0}, id="one process"),
        pytest.param("cuda:3", {}, {"": 3}, id="the fourth process of a node"),
        pytest.param("cuda:0", {"fsdp": True}, None, id="FSDP"),
        pytest.param("cuda:0", {"deepspeed_plugin": object()}, None, id="DeepSpeed"),
        pytest.param("cpu", {}, None, id="on a CPU"),
    ],
)
def test_a_model_is_loaded_onto_its_processs_own_gpu_only(
    device: str, how: dict[str, Any], expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks.model import loading

    told: dict[str, Any] = {}
    training = a_rank(device, seed=1, trust_remote_code=False, model_init_kwargs=None, **how)

    def load(_: str, **options: Any) -> Any:
        told.update(options)
        return SimpleNamespace(modules=list), {}

    monkeypatch.setattr(loading, "create_model_from_path", load)
    monkeypatch.setattr(loading, "require_present", lambda *_: None)
    monkeypatch.setattr(loading, "get_quantization_config", lambda _: None)
    model = SimpleNamespace(
        model_name_or_path="m", model_revision=None, attn_implementation=None, dtype="bfloat16"
    )

    loading.load_model(SimpleNamespace(training=training, model=model))

    assert told["device_map"] == expected


def test_an_unchecked_device_map_is_refused_by_the_rank() -> None:
    from finetune_trainer.ranks.model import loading

    training = a_rank(
        "cpu", seed=1, trust_remote_code=False, model_init_kwargs={"device_map": "auto"}
    )
    model = SimpleNamespace(
        model_name_or_path="m", model_revision=None, attn_implementation=None, dtype="bfloat16"
    )
    quantization = {"load_in_4bit": False, "load_in_8bit": False}
    arguments = SimpleNamespace(
        training=training, model=SimpleNamespace(**vars(model), **quantization)
    )

    with pytest.raises(ValueError, match=r"model_init_kwargs\.device_map: each process loads"):
        loading.load_model(arguments)


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        pytest.param({"": 0}, None, id="all on the GPU"),
        pytest.param(
            {"a": 0, "b": "cpu", "c": "disk"}, "b (cpu), c (disk)", id="on the CPU and on a disk"
        ),
        pytest.param(
            {f"layers.{number}": "cpu" for number in range(9)},
            "layers.0 (cpu), layers.1 (cpu), layers.2 (cpu) and 6 more",
            id="many layers",
        ),
    ],
)
def test_a_model_that_does_not_fit_its_gpu_is_refused_with_the_misplaced_parts(
    placed: dict[str, Any], words: str | None
) -> None:
    from torch import nn

    from finetune_trainer.ranks.model.devices import require_present

    model = nn.Linear(2, 2)
    model.hf_device_map = placed  # type: ignore[assignment]

    if words is None:
        require_present(model, a_rank("cuda:0"))
        return
    with pytest.raises(AttemptFailed) as caught:
        require_present(model, a_rank("cuda:0"))

    failure = caught.value.failure
    assert (failure.reason, failure.category) == ("OutOfMemory", Category.OUT_OF_MEMORY)
    assert failure.message == (
        "the model does not fit into the memory of one GPU: these parts were loaded elsewhere "
        f"and would not be trained: {words}"
    )


def test_weights_that_are_not_on_the_gpu_when_training_starts_are_refused() -> None:
    from torch import nn

    from finetune_trainer.ranks.model.devices import require_present

    with pytest.raises(AttemptFailed, match=r"trained: weight \(cpu\), bias \(cpu\)"):
        require_present(nn.Linear(2, 2), a_rank("cuda:0"), is_prepared=True)
    require_present(nn.Linear(2, 2), a_rank("cuda:0", fsdp=True), is_prepared=True)


def test_a_rank_that_receives_its_shard_may_be_empty_before_fsdp_is_set_up() -> None:
    from torch import nn

    from finetune_trainer.ranks.model.devices import require_present

    empty = nn.Linear(2, 2, device="meta")

    require_present(empty, a_rank("cuda:1", fsdp=True))
    with pytest.raises(AttemptFailed, match=r"weight \(meta\), bias \(meta\)"):
        require_present(empty, a_rank("cuda:1", fsdp=True), is_prepared=True)
