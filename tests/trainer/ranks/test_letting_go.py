# SPDX-License-Identifier: Apache-2.0
"""Before the base model is loaded again, the trained one uses no memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.long_form import keeping
from trainer import model_watch
from trainer.lab import ADAPTER, WHOLE, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("config", "profile"),
    keeping(
        ("FSDP2, adapter",),
        [
            pytest.param(ADAPTER, "zero3", id="ZeRO-3, adapter"),
            pytest.param(WHOLE, "zero3", id="ZeRO-3, whole"),
            pytest.param(WHOLE, "zero2", id="ZeRO-2, whole"),
            pytest.param(ADAPTER, "fsdp2", id="FSDP2, adapter"),
            pytest.param(ADAPTER, "ddp", id="DDP, adapter"),
        ],
    ),
)
def test_no_tensor_of_the_trained_model_is_alive_when_the_base_is_loaded_again(
    lab: Lab, config: dict[str, Any], profile: str
) -> None:
    config = {**config, "max_steps": 2, "accelerate_config": profile}
    trained = lab.train(processes=2, before=model_watch.watch, **config)

    assert trained.outcome.failure is None, trained.outcome
    found = json.loads(Path(trained.workspace.root, model_watch.FILE).read_text())
    assert len(found["watched"]) > 20
    assert found["alive"] == []
