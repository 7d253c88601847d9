# SPDX-License-Identifier: Apache-2.0
"""An image without a compiler, and a DeepSpeed config that requires one."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_spec.config import read_config
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.node.deepspeed_kernels import compiled_for, require_compiler
from trainer.runs import a_parsed_run

OFFLOADED = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}
ADAM = {"optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        pytest.param({"zero_optimization": {"stage": 3}}, None, id="torch's optimizer"),
        pytest.param(ADAM, "optimizer.type AdamW", id="DeepSpeed's Adam"),
        pytest.param(
            {"optimizer": {"type": "AdamW", "params": {"torch_adam": True}}},
            None,
            id="torch's Adam by DeepSpeed",
        ),
        pytest.param({"optimizer": {"type": "SGD"}}, None, id="what DeepSpeed has of torch"),
        pytest.param(
            OFFLOADED,
            "offload_optimizer without zero_force_ds_cpu_optimizer: false",
            id="offloaded, and replaced",
        ),
        pytest.param(
            {**OFFLOADED, "zero_force_ds_cpu_optimizer": False}, None, id="offloaded as it is"
        ),
        pytest.param(
            {"zero_optimization": {"offload_param": {"device": "nvme"}}},
            "offload_param to nvme",
            id="to a disk",
        ),
    ],
)
def test_the_kernels_that_deepspeed_compiles_are_known_in_advance(
    options: dict[str, Any], found: str | None
) -> None:
    assert compiled_for(options) == found


@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3", "zero3-offload"])
def test_no_profile_needs_a_compiler(name: str) -> None:
    require_compiler(a_parsed_run(accelerate_config=name).config, on_gpu=True, has=False)


@pytest.mark.parametrize("is_file", [False, True], ids=["in the config", "in a file"])
def test_a_config_that_needs_a_compiler_is_refused_before_anything_is_fetched(
    tmp_path: Path, is_file: bool
) -> None:
    (tmp_path / "ds.json").write_text(json.dumps(ADAM))
    config = read_config({"deepspeed": str(tmp_path / "ds.json") if is_file else ADAM})

    with pytest.raises(AttemptFailed) as refused:
        require_compiler(config, on_gpu=True, has=False)

    assert refused.value.failure.reason == "DeepSpeedNeedsCompiler"
    assert refused.value.failure.message == (
        "deepspeed: found optimizer.type AdamW, for which DeepSpeed compiles a kernel when "
        "training starts, but this trainer image has no nvcc"
    )
    require_compiler(config, on_gpu=True, has=True)
