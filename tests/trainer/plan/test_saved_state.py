# SPDX-License-Identifier: Apache-2.0
"""A large model's states are saved in parts: in full they would pass through one process's
memory.
"""

from pathlib import Path
from typing import Any

import pytest

from finetune_contract.run import World
from finetune_trainer.checkpoints.checkpoints import Checkpoint
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.saved_state import LARGE_BYTES, SavedState
from finetune_trainer.plan.training_plan import plan_training
from trainer.runs import a_parsed_run

GPUS = Hardware(gpus=8, cpus=64)
LARGE = SavedState(optimizer_bytes=LARGE_BYTES)
SMALL = SavedState(optimizer_bytes=LARGE_BYTES - 1)


def kind_of_state(state: SavedState, **config: Any) -> Any:
    planned = plan_training(
        a_parsed_run(world=World(nodes=2, processes_per_node=8), **config),
        GPUS,
        local_paths={},
        output=Path("/work/training"),
        resume=None,
        state=state,
    ).config
    options = planned.get("fsdp_config") or {}
    return options.get("state_dict_type", options.get("fsdp_state_dict_type"))


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (LARGE, "SHARDED_STATE_DICT"),
        (SMALL, "FULL_STATE_DICT"),
        (SavedState(), "FULL_STATE_DICT"),  # The model's size is unknown.
        # A checkpoint is read in its own format, independently of the image that wrote it.
        (SavedState(optimizer_bytes=LARGE_BYTES, was_in_parts=False), "FULL_STATE_DICT"),
        (SavedState(was_in_parts=True), "SHARDED_STATE_DICT"),
    ],
)
def test_large_sharded_states_are_saved_in_parts(state: SavedState, kind: str) -> None:
    assert kind_of_state(state, accelerate_config="fsdp2") == kind


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"accelerate_config": "fsdp2", "save_only_model": True}, "FULL_STATE_DICT"),
        (
            {"fsdp": True, "fsdp_config": {"state_dict_type": "FULL_STATE_DICT"}},
            "FULL_STATE_DICT",
        ),
        ({"accelerate_config": "zero3"}, None),
        ({"accelerate_config": "ddp"}, None),
        ({}, None),
    ],
)
def test_a_users_setting_for_saved_states_is_kept(config: dict[str, Any], kind: str | None) -> None:
    assert kind_of_state(LARGE, **config) == kind


def test_the_rest_of_the_profile_is_unchanged() -> None:
    def options(state: SavedState) -> dict[str, Any]:
        run = a_parsed_run(world=World(processes_per_node=8), accelerate_config="fsdp2")
        planned = plan_training(
            run, GPUS, local_paths={}, output=Path("/work"), resume=None, state=state
        )
        return dict(planned.config["fsdp_config"])

    assert options(LARGE) == {**options(SMALL), "state_dict_type": "SHARDED_STATE_DICT"}


@pytest.mark.parametrize(
    ("name", "is_in_parts"),
    [
        ("pytorch_model_fsdp_0/__0_0.distcp", True),
        ("pytorch_model_fsdp.bin", False),
        ("adapter_model.safetensors", False),
    ],
)
def test_a_checkpoint_shows_how_it_was_saved(name: str, is_in_parts: bool, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"weights")

    assert Checkpoint(step=1, folder=tmp_path).is_in_parts is is_in_parts
