# SPDX-License-Identifier: Apache-2.0
"""A config trains here exactly as with a bare `trl sft`: figure by figure."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from support.long_form import keeping
from trainer.in_process import USUAL, train

pytestmark = pytest.mark.slow

STEPS = 4
COMPARED = ("loss", "grad_norm", "learning_rate", "num_tokens", "mean_token_accuracy", "entropy")
SAVED: Mapping[str, Any] = {"save_strategy": "steps", "save_steps": STEPS, "max_steps": STEPS}
"""The last checkpoint has the history of all steps."""


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}):
        yield


def bare_trl(place: Path, model: Path, data: Path, **config: Any) -> list[dict[str, Any]]:
    """The log of TRL's own script for these flags."""
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from trl.scripts.sft import main, make_parser

    settings = {
        "model_name_or_path": str(model),
        "dataset_name": str(data),
        "output_dir": str(place / "bare"),
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "report_to": "none",
        **USUAL,
        **config,
    }
    file = place / "bare.yaml"
    file.write_text(yaml.safe_dump({k: v for k, v in settings.items() if v is not None}))
    try:
        main(*make_parser().parse_args_and_config(["--config", str(file)]))
    finally:
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
    state_file = place / "bare" / f"checkpoint-{STEPS}" / "trainer_state.json"
    history: list[dict[str, Any]] = json.loads(state_file.read_text())["log_history"]
    return history


def compared(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: record[name] for name in COMPARED if name in record}
        for record in records
        if "loss" in record
    ]


@pytest.mark.parametrize(
    "config",
    keeping(
        ("LoRA with dropout", "full", "packed", "evaluated"),
        [
            pytest.param({"lora_dropout": 0.1}, id="LoRA with dropout"),
            pytest.param({"use_peft": None, "lora_r": None}, id="full"),
            pytest.param({"packing": True, "max_length": 128}, id="packed"),
            pytest.param(
                {
                    "warmup_steps": 2,
                    "lr_scheduler_type": "cosine",
                    "gradient_accumulation_steps": 2,
                },
                id="schedule and accumulation",
            ),
            pytest.param(
                {"eval_strategy": "steps", "eval_steps": 2, "lora_dropout": 0.1}, id="evaluated"
            ),
            pytest.param({"neftune_noise_alpha": 5.0, "seed": 7}, id="noise"),
            pytest.param({"loss_type": "dft"}, id="DFT loss"),
        ],
    ),
)
def test_every_figure_of_every_step_equals_that_of_bare_trl(
    tmp_path: Path, tiny_model: Path, dialogues: Path, config: dict[str, Any]
) -> None:
    bare = bare_trl(tmp_path, tiny_model, dialogues, **SAVED, **config)

    ours = train(tmp_path, tiny_model, dialogues, **SAVED, **config)

    assert ours.outcome.failure is None
    # In flat rows, attention adds the figures of each row separately: in another order.
    tolerance = 1e-6 if config.get("packing") else 0.0
    expected = [pytest.approx(it, rel=tolerance, abs=0.0) for it in compared(bare)]
    assert compared(ours.records()) == expected
    assert len(compared(bare)) == STEPS
