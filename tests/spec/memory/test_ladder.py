# SPDX-License-Identifier: Apache-2.0
"""The ladder for too little GPU memory: the rungs that apply to a config, and their settings."""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config import Context, read_config
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.memory.ladder import LADDER, find_rungs, render_settings, spell
from support.config_verdicts import problems_of

CONFIG = {"model_name_or_path": "s3://models/tiny", "dataset_name": "s3://datasets/tiny"}
LORA = {"use_peft": True, "dtype": "bfloat16"}
ONE_ROW = {"per_device_train_batch_size": 1}
FSDP = {"fsdp": True, "fsdp_config": {"version": 2}}
LEAST = {**ONE_ROW, **LORA, "max_length": 512, "load_in_4bit": True}
"""Nothing remains to be reduced."""

HALF = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
FOUR_BITS = {"load_in_4bit": True}
LOWER_LENGTH: Mapping[str, Any] = {}
"""The user must choose the length of rows."""


def rungs_of(config: Mapping[str, Any], gpus: int = 1) -> list[Mapping[str, Any]]:
    """The settings of each applicable rung, in the user's spelling."""
    context = Context(nodes=1, processes_per_node=gpus, gpus_per_node=gpus)
    reading = read_config({**CONFIG, **config}, context.schema)
    return [spell(reading, settings) for _, settings in find_rungs(reading, context)]


@pytest.mark.parametrize(
    ("config", "rungs"),
    [
        pytest.param(LEAST, [], id="nothing left"),
        pytest.param(
            {},
            [HALF, LOWER_LENGTH, LORA],
            id="TRL's defaults: recomputation is on, and the weights learn",
        ),
        pytest.param(
            {**ONE_ROW, "use_peft": True},
            [{"dtype": "bfloat16"}, LOWER_LENGTH, FOUR_BITS],
            id="LoRA on weights in 32 bits",
        ),
        pytest.param(
            {**LEAST, "load_in_4bit": False, "load_in_8bit": True},
            [{"load_in_4bit": True, "load_in_8bit": False}],
            id="8 bits",
        ),
        pytest.param(
            {**LEAST, "load_in_4bit": False, "dtype": "auto"},
            [{"load_in_4bit": True, "dtype": "bfloat16"}],
            id="4 bits with an explicit dtype to compute in",
        ),
        pytest.param({**LEAST, "load_in_4bit": False, **FSDP}, [], id="no 4 bits under FSDP"),
        pytest.param(
            {**ONE_ROW, "max_length": 512, "num_layers_unfrozen": 2},
            [],
            id="no adapter next to frozen layers",
        ),
        pytest.param({**LEAST, "max_length": None}, [LOWER_LENGTH], id="rows of any length"),
    ],
)
def test_the_steps_of_a_configs_ladder_come_in_order(
    config: Mapping[str, Any], rungs: list[Mapping[str, Any]]
) -> None:
    assert rungs_of(config) == rungs


@pytest.mark.parametrize(
    ("config", "rungs"),
    [
        pytest.param({}, [], id="on by default"),
        pytest.param({"activation_checkpointing": True}, [], id="on"),
        pytest.param(
            {"activation_checkpointing": True, "gradient_checkpointing": False},
            [],
            id="on by the newer name, which counts",
        ),
        pytest.param(
            {"activation_checkpointing": False},
            [{"activation_checkpointing": True}],
            id="off by the newer name",
        ),
        pytest.param(
            {"activation_checkpointing": False, "gradient_checkpointing": True},
            [{"activation_checkpointing": True}],
            id="off by the newer name with any older one",
        ),
        pytest.param(
            {"gradient_checkpointing": False},
            [{"gradient_checkpointing": True}],
            id="off by the older name",
        ),
        pytest.param(
            {"activation_checkpointing": None, "gradient_checkpointing": False},
            [{"gradient_checkpointing": True}],
            id="off by the older name next to a null",
        ),
        pytest.param({"activation_checkpointing": None}, [], id="null is the default, on"),
        pytest.param(
            {
                **FSDP,
                "activation_checkpointing": False,
                "fsdp_config": {"activation_checkpointing": True},
            },
            [],
            id="on by FSDP's switch",
        ),
        pytest.param(
            {
                "activation_checkpointing": False,
                "accelerate_config": {
                    "distributed_type": "FSDP",
                    "fsdp_config": {"fsdp_version": 2, "fsdp_activation_checkpointing": True},
                },
            },
            [],
            id="on by FSDP's switch in a profile",
        ),
        pytest.param(
            {**FSDP, "activation_checkpointing": False},
            [{"activation_checkpointing": True}],
            id="FSDP without its switch",
        ),
    ],
)
def test_activations_are_recomputed_unless_they_already_are(
    config: Mapping[str, Any], rungs: list[Mapping[str, Any]]
) -> None:
    assert rungs_of({**LEAST, **config}) == rungs


def test_an_older_trl_has_only_the_older_switch() -> None:
    context = Context(schema=load_schema("1.15.0"))
    config = read_config({**CONFIG, **LEAST, "gradient_checkpointing": False}, context.schema)

    assert [settings for _, settings in find_rungs(config, context)] == [
        {"gradient_checkpointing": True}
    ]


@pytest.mark.parametrize(
    ("rows", "accumulated", "halved"),
    [
        pytest.param(8, 1, (4, 2), id="even"),
        pytest.param(6, 3, (3, 6), id="even once"),
        pytest.param(9, 2, (1, 18), id="odd: single rows at once"),
        pytest.param(1, 16, None, id="single rows"),
        pytest.param(0, 1, None, id="none, which an older operator accepted"),
        pytest.param("many", 1, None, id="no number, which an older operator accepted"),
        pytest.param(8, "many", None, id="no accumulation that can be doubled"),
    ],
)
def test_a_smaller_batch_keeps_the_effective_batch_size(
    rows: Any, accumulated: Any, halved: tuple[int, int] | None
) -> None:
    batch = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": accumulated}

    found = [tuple(settings.values()) for settings in rungs_of({**LEAST, **batch})]

    assert found == ([] if halved is None else [halved])


def test_settings_use_the_users_spelling() -> None:
    found = rungs_of({"per_gpu_train_batch_size": 8, "torch_dtype": "float32", "use_peft": True})

    assert found[:2] == [
        {"per_gpu_train_batch_size": 4, "gradient_accumulation_steps": 2},
        {"torch_dtype": "bfloat16"},
    ]


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        pytest.param(
            LEAST,
            {"accelerate_config": "fsdp2", "bnb_4bit_quant_storage": "bfloat16"},
            id="4-bit weights stored as they are sharded",
        ),
        pytest.param(
            {**ONE_ROW, "max_length": 512, "num_layers_unfrozen": 2},
            {"accelerate_config": "fsdp2"},
            id="other weights",
        ),
    ],
)
def test_several_processes_can_share_the_model(
    config: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    assert rungs_of(config, gpus=2) == [settings]
    assert rungs_of({**config, **settings}, gpus=2) == []


def test_a_retry_uses_only_steps_that_keep_the_result() -> None:
    context = Context(nodes=1, processes_per_node=2, gpus_per_node=2)
    everything = {"gradient_checkpointing": False}
    config = read_config({**CONFIG, **everything}, context.schema)

    retried = [settings for rung, settings in find_rungs(config, context) if rung.is_retried]

    assert retried == [HALF, {"gradient_checkpointing": True}]
    assert [rung.is_retried for rung in LADDER] == [True, True, *[False] * (len(LADDER) - 2)]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, id=f"{name}, {gpus} GPUs")
        for gpus in (1, 2)
        for name, config in {
            "defaults": {"gpus": gpus},
            "LoRA": {"gpus": gpus, "use_peft": True, "gradient_checkpointing": False},
            "LoRA in auto": {"gpus": gpus, "use_peft": True, "dtype": "auto"},
            "8 bits": {"gpus": gpus, "use_peft": True, "load_in_8bit": True},
            "QLoRA": {"gpus": gpus, **LEAST, "activation_checkpointing": False},
            "FSDP": {"gpus": gpus, **FSDP, "activation_checkpointing": False},
            "older spellings": {"gpus": gpus, "per_gpu_train_batch_size": 8, "use_peft": True},
            "frozen layers": {"gpus": gpus, "num_layers_unfrozen": 2},
        }.items()
    ],
)
def test_each_step_gives_a_valid_config_and_the_ladder_ends(
    config: dict[str, Any],
) -> None:
    gpus = config.pop("gpus")
    context = Context(nodes=1, processes_per_node=gpus, gpus_per_node=gpus)
    current = {**CONFIG, **config}

    for _ in range(20):
        step = next((settings for settings in rungs_of(current, gpus) if settings), None)
        if step is None:
            break
        current |= step
        mistakes = [str(each) for each in problems_of(current, context) if not each.is_warning]
        assert mistakes == [], step
    else:
        pytest.fail("the ladder has no end")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"a": 1}, "a: 1"),
        ({"a": True, "b": "fsdp2"}, "a: true and b: fsdp2"),
        ({"a": 1, "b": None, "c": 2}, "a: 1, b: null and c: 2"),
    ],
)
def test_settings_are_rendered_as_yaml(settings: Mapping[str, Any], text: str) -> None:
    assert render_settings(settings, ": ") == text
