# SPDX-License-Identifier: Apache-2.0
"""Profiles with NCCL: the parts of FSDP 1, offloading and DeepSpeed that CPUs cannot show."""

from pathlib import Path
from typing import Any

import pytest

from gpu.attempts import train

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

ALIKE = {"max_steps": 4, "lora_dropout": 0.0, "bf16": False}
"""In 32 bits, so that only the order of sums differs."""


@pytest.mark.parametrize("device", ["cuda"])
@pytest.mark.parametrize(
    ("profile", "gpus"),
    [
        pytest.param(profile, gpus, id=f"{profile}, {gpus} GPUs")
        for profile in ("ddp", "fsdp2", "zero1", "zero2", "zero3", "zero3-offload")
        for gpus in (1, 2)
    ],
)
@pytest.mark.parametrize(
    "what",
    [{"use_peft": False, "lora_r": None}, {"use_peft": True}],
    ids=["whole model", "adapter"],
)
def test_a_distributed_run_learns_what_one_gpu_learns_and_saves_a_complete_artifact(
    model: Path,
    dialogues: Path,
    tmp_path: Path,
    what: dict[str, Any],
    device: str,
    profile: str,
    gpus: int,
) -> None:
    config = {**ALIKE, **what}
    alone = train(tmp_path / "alone", model, dialogues, device, **config)
    batch = {"per_device_train_batch_size": 2 // gpus}

    shared = train(
        tmp_path / "shared",
        model,
        dialogues,
        device,
        gpus=gpus,
        accelerate_config=profile,
        **config,
        **batch,
    )

    assert shared.outcome.failure is None, shared.outcome
    assert shared.outcome.adapter_verified
    assert shared.losses() == pytest.approx(alone.losses(), rel=1e-2)
