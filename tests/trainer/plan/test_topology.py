# SPDX-License-Identifier: Apache-2.0
"""The processes that take a step together, and those that may resume from others' checkpoints."""

from pathlib import Path
from typing import Any

import pytest

from finetune_contract.run import World
from finetune_spec.config import read_config
from finetune_trainer.checkpoints.checkpoints import Checkpoint
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.topology import (
    Topology,
    adopt_random_states,
    go_on,
    require_deepspeed,
    topology_of,
)
from trainer.runs import a_folder, a_parsed_run

ONE, TWO, FOUR = (World(processes_per_node=size) for size in (1, 2, 4))


def a_checkpoint(place: Path, world: World, **config: Any) -> Checkpoint:
    """A checkpoint of step 20, written by these processes with this config."""
    facts = topology_of(a_parsed_run(**config).config, world).to_facts()
    return Checkpoint(step=20, folder=place, facts={**facts, "step": 20})


def going_on(place: Path, *, written_by: World, with_: World, **config: Any) -> Any:
    run = go_on(a_parsed_run(world=with_, **config), a_checkpoint(place, written_by, **config))
    assert {**config, **run.adjustments}.items() <= run.config.written.items()
    return run.adjustments


@pytest.mark.parametrize(
    ("world", "config", "words"),
    [
        pytest.param(ONE, {}, "one process", id="alone"),
        pytest.param(TWO, {}, "DDP over 2 processes", id="DDP"),
        pytest.param(World(nodes=2, processes_per_node=2), {}, "DDP over 4 processes", id="nodes"),
        pytest.param(
            FOUR, {"accelerate_config": "fsdp2"}, "FSDP2 over 4 processes", id="FSDP by profile"
        ),
        pytest.param(ONE, {"fsdp": True}, "FSDP2 over 1 process", id="FSDP alone"),
        pytest.param(
            TWO, {"accelerate_config": "zero3"}, "ZeRO-3 over 2 processes", id="DeepSpeed"
        ),
    ],
)
def test_a_topology_is_described_in_a_users_terms(
    world: World, config: dict[str, Any], words: str
) -> None:
    assert str(topology_of(a_parsed_run(**config).config, world)) == words


def test_a_topology_is_read_back_from_the_manifest() -> None:
    topology = topology_of(read_config({"per_device_train_batch_size": 3}), FOUR)

    assert topology.rows_per_step == 12
    assert Topology.from_facts({"step": 20, **topology.to_facts()}) == topology


@pytest.mark.parametrize(
    "config",
    [{}, {"accelerate_config": "fsdp2"}, {"fsdp": True}],
    ids=["DDP", "FSDP by profile", "FSDP"],
)
def test_another_world_size_keeps_the_rows_of_a_step(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    config |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}

    assert going_on(tmp_path, written_by=TWO, with_=ONE, **config) == {
        "gradient_accumulation_steps": 4
    }
    assert going_on(tmp_path, written_by=ONE, with_=TWO, **config) == {
        "gradient_accumulation_steps": 1
    }
    assert going_on(tmp_path, written_by=TWO, with_=TWO, **config) == {}


def test_a_checkpoint_without_a_topology_is_resumed_unchanged(tmp_path: Path) -> None:
    run = a_parsed_run(world=TWO)
    checkpoint = Checkpoint(step=20, folder=tmp_path, facts={"step": 20})

    assert go_on(run, checkpoint) is run


def test_smaller_batches_with_the_same_accumulated_rows_are_the_same_step(tmp_path: Path) -> None:
    halved = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    run = a_parsed_run(world=TWO, adjustments=halved, per_device_train_batch_size=8)
    checkpoint = a_checkpoint(tmp_path, TWO, per_device_train_batch_size=8)

    assert go_on(run, checkpoint).adjustments == halved


@pytest.mark.parametrize(
    ("config", "written_by", "with_", "sentence"),
    [
        pytest.param(
            {"accelerate_config": "zero2"},
            TWO,
            ONE,
            "the checkpoint of step 20 was written by ZeRO-2 over 2 processes, which ZeRO-2 over "
            "1 process cannot read",
            id="DeepSpeed's checkpoints have as many parts as processes",
        ),
        pytest.param(
            {"per_device_train_batch_size": 2},
            TWO,
            World(processes_per_node=3),
            "step 20 was reached with 4 rows a step by DDP over 2 processes, and 3 processes "
            "take 6 rows at a time, which does not divide a step",
            id="rows that no number of batches makes",
        ),
    ],
)
def test_a_world_that_cannot_resume_is_refused_with_alternatives(
    tmp_path: Path, config: dict[str, Any], written_by: World, with_: World, sentence: str
) -> None:
    with pytest.raises(AttemptFailed) as refused:
        going_on(tmp_path, written_by=written_by, with_=with_, **config)

    assert refused.value.failure.reason == "WorldSizeChanged"
    assert refused.value.failure.message == sentence
    assert refused.value.failure.remedy == (
        "give the job 2 processes again, in spec.resources nodes and gpusPerNode, or start from "
        "the beginning with another spec.runToken"
    )


@pytest.mark.parametrize(
    ("there", "size", "expected"),
    [
        pytest.param(
            ("rng_state_0.pth", "rng_state_1.pth"), 1, {"rng_state.pth": b"0"}, id="fewer"
        ),
        pytest.param(
            ("rng_state.pth",), 2, {"rng_state_0.pth": b"", "rng_state_1.pth": b""}, id="more"
        ),
        pytest.param(
            ("rng_state_0.pth", "rng_state_1.pth"),
            3,
            {"rng_state_1.pth": b"1", "rng_state_2.pth": b"0"},
            id="one more",
        ),
    ],
)
def test_every_rank_gets_an_existing_random_state(
    tmp_path: Path, there: tuple[str, ...], size: int, expected: dict[str, bytes]
) -> None:
    files = {
        f"{folder}{name}": "".join(filter(str.isdigit, name)).encode()
        for name in there
        for folder in ("", "epoch-start/")
    }
    a_folder(tmp_path, files)

    adopt_random_states(tmp_path, size)

    for folder in ("", "epoch-start/"):
        found = {name: (tmp_path / f"{folder}{name}").read_bytes() for name in expected}
        assert found == expected


def test_deepspeed_missing_in_the_image_is_refused_before_anything_is_fetched() -> None:
    config = a_parsed_run(accelerate_config="zero2").config

    with pytest.raises(AttemptFailed) as refused:
        require_deepspeed(config, is_there=False)

    assert refused.value.failure.reason == "DeepSpeedNotInstalled"
    require_deepspeed(config, is_there=True)
    require_deepspeed(a_parsed_run(accelerate_config="fsdp2").config, is_there=False)
