# SPDX-License-Identifier: Apache-2.0
"""Features of tuning that only a GPU shows: bf16, 4 and 8 bits, flash attention, Liger, NCCL, its
memory.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_spec.memory.estimate import RUNTIME_BYTES
from gpu.attempts import estimate_of, train
from support.older_config import OLDER_CONFIG

GPU = pytest.mark.gpu
HERE = (pytest.mark.slow, pytest.mark.long)
"""A path that a CPU supports too; in `make test` tests with a tiny model cover it."""

PACKED = {
    "packing": True,
    "packing_strategy": "bfd",
    "max_length": 512,
    "max_steps": 10,
    "learning_rate": 1e-3,
    "lora_dropout": 0,
}


def require_learning(losses: list[float]) -> None:
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("device", "config"),
    [
        pytest.param("cuda", {}, marks=GPU, id="bf16 around weights in 32 bits"),
        pytest.param("cuda", {"dtype": "bfloat16"}, marks=GPU, id="weights in bf16"),
        pytest.param("cuda", {"use_peft": False}, marks=GPU, id="the whole model"),
        pytest.param(
            "cuda", {"use_peft": False, "num_layers_unfrozen": 4}, marks=GPU, id="the last layers"
        ),
        pytest.param("cuda", {"tf32": True, "bf16": False}, marks=GPU, id="tf32"),
        pytest.param("cuda", {"activation_offloading": True}, marks=GPU, id="offloading"),
        pytest.param("cuda", {"optim": "paged_adamw_8bit"}, marks=GPU, id="8-bit AdamW"),
        pytest.param(
            "cuda",
            {"load_in_4bit": True, "use_bnb_nested_quant": True, "dtype": "bfloat16"},
            marks=GPU,
            id="QLoRA in 4 bits",
        ),
        pytest.param("cuda", {"load_in_8bit": True}, marks=GPU, id="LoRA on 8 bits"),
        pytest.param(
            "cuda", {"load_in_8bit": True, "use_dora": True}, marks=GPU, id="DoRA on 8 bits"
        ),
        pytest.param("cuda", {"added_tokens": ["<|tool|>"]}, marks=GPU, id="a token more"),
        pytest.param("cpu", {"load_in_4bit": True}, marks=HERE, id="4 bits on a CPU"),
    ],
)
def test_a_job_trains_and_its_published_artifact_loads(
    tmp_path: Path, model: Path, texts: Path, device: str, config: dict[str, Any]
) -> None:
    trained = train(tmp_path, model, texts, device, **{**PACKED, **config})

    assert trained.outcome.failure is None, trained.words()
    assert trained.outcome.adapter_verified
    require_learning(trained.losses())


@pytest.mark.parametrize(
    ("device", "without"),
    [
        pytest.param("cuda", (), marks=GPU, id="unchanged"),
        pytest.param("cpu", ("tf32",), marks=HERE, id="on a CPU, which has no TF32"),
    ],
)
def test_a_complete_config_in_older_spellings_runs(
    tmp_path: Path, model: Path, dialogues: Path, device: str, without: tuple[str, ...]
) -> None:
    data = Path(shutil.copytree(dialogues, tmp_path / "data"))
    (data / "test.jsonl").rename(data / "validation.jsonl")
    older = {**OLDER_CONFIG, **dict.fromkeys((*without, "model_name_or_path"))}
    # Without keys of the usual run that it has under another name, or lacks.
    none = dict.fromkeys(("dataset_name", "max_length", "max_steps"))

    places = {"model_name_or_path": str(model), "dataset_id_or_path": str(data)}
    trained = train(tmp_path, model, data, device, **{**older, **none, **places})

    assert trained.outcome.failure is None, trained.words()
    assert trained.outcome.adapter_verified
    told = [record for record in trained.records() if "eval_loss" in record]
    assert len(told) > 1


@pytest.mark.parametrize(
    ("device", "attention"),
    [
        pytest.param("cuda", "sdpa", marks=GPU, id="torch's on a GPU"),
        pytest.param("cuda", "flash_attention_2", marks=GPU, id="flash attention 2"),
        pytest.param("cpu", "sdpa", marks=HERE, id="torch's on a CPU"),
    ],
)
def test_packed_rows_do_not_attend_to_each_other(
    tmp_path: Path, model: Path, dialogues: Path, device: str, attention: str
) -> None:
    config = {**PACKED, "dtype": "bfloat16" if device == "cuda" else "float32", "max_steps": 1}
    rows = {"packing": False, "per_device_train_batch_size": 4}
    apart = train(tmp_path / "apart", model, dialogues, device, **{**config, **rows})
    packed = train(
        tmp_path / "packed", model, dialogues, device, **config, attn_implementation=attention
    )

    # Each conversation counts the same as alone, within the precision of bf16.
    assert packed.losses() == pytest.approx(apart.losses(), rel=0.02 if device == "cuda" else 1e-4)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=GPU)])
def test_liger_computes_the_same_loss(
    tmp_path: Path, model: Path, texts: Path, device: str
) -> None:
    plain = train(tmp_path / "plain", model, texts, device, **PACKED)
    liger = train(tmp_path / "liger", model, texts, device, **PACKED, use_liger_kernel=True)

    assert liger.outcome.failure is None, liger.words()
    assert liger.losses() == pytest.approx(plain.losses(), rel=0.02)


@pytest.mark.parametrize(
    ("device", "gpus", "profile"),
    [
        pytest.param("cuda", 2, "ddp", marks=GPU, id="DDP"),
        pytest.param("cuda", 2, "fsdp2", marks=GPU, id="FSDP2"),
    ],
)
def test_two_gpus_learn_what_one_gpu_learns_from_the_same_batch(
    tmp_path: Path, model: Path, texts: Path, device: str, gpus: int, profile: str
) -> None:
    config = {"packing": False, "max_length": 512, "max_steps": 5, "lora_dropout": 0}
    one = train(
        tmp_path / "one", model, texts, device, **config, per_device_train_batch_size=2 * gpus
    )
    two = train(
        tmp_path / "two",
        model,
        texts,
        device,
        gpus=gpus,
        **config,
        per_device_train_batch_size=2,
        accelerate_config=profile,
    )

    assert two.outcome.failure is None, two.words()
    assert two.outcome.world_size == gpus
    assert two.losses() == pytest.approx(one.losses(), rel=0.02)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """All but 2 GiB of the GPU is allocated, so that any model is too large for it."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - 2 * 1024**3, dtype=torch.uint8, device="cuda")
    yield
    del taken
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("device", [pytest.param("cuda", marks=GPU)])
def test_a_gpu_that_is_too_small_is_reported_as_out_of_memory(
    tmp_path: Path, model: Path, texts: Path, device: str
) -> None:
    trained = train(tmp_path, model, texts, device, **{**PACKED, "use_peft": False})

    failure = trained.outcome.failure
    assert failure is not None
    assert (failure.category, failure.reason) == (Category.OUT_OF_MEMORY, "OutOfMemory")


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=GPU)])
@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"use_peft": False}, id="the whole model"),
        pytest.param({"use_peft": False, "num_layers_unfrozen": 4}, id="the last layers"),
        pytest.param({"lora_target_modules": "all-linear"}, id="LoRA"),
        pytest.param({"load_in_4bit": True, "dtype": "bfloat16"}, id="QLoRA"),
        pytest.param({"activation_checkpointing": False}, id="nothing computed again"),
    ],
)
def test_the_peak_memory_is_the_estimated_memory(
    tmp_path: Path, model: Path, texts: Path, device: str, config: dict[str, Any]
) -> None:
    shape = {**PACKED, "packing_strategy": "wrapped", "max_length": 1024, "max_steps": 3}
    shape |= {"per_device_train_batch_size": 8}

    trained = train(tmp_path, model, texts, device, **{**shape, **config})

    assert trained.outcome.failure is None, trained.words()
    figures = trained.outcome.figures or {}
    # torch counts its own allocations, and not CUDA's.
    estimated = estimate_of(trained).total - RUNTIME_BYTES
    assert estimated == pytest.approx(figures["peak_memory_bytes"], rel=0.25)
