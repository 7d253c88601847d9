# SPDX-License-Identifier: Apache-2.0
"""The placement of a base model after training: the best one that fits."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_spec.quantities import parse_quantity
from finetune_trainer.ranks.placement import (
    CPU,
    GIB,
    Place,
    Room,
    Weights,
    placements,
)

EXAMPLES = Path(__file__).parents[3] / "configs" / "examples"

FREE_OF_80 = int(79.1 * GIB)
"""CUDA's report for an idle H100 of 80 GB."""


def a_model(*, layers: int, layer_gib: float, rest_gib: float, **options: Any) -> Weights:
    return Weights(
        rest_bytes=int(rest_gib * GIB),
        rest=("model.embed_tokens", "lm_head"),
        layers={f"model.layers.{place}": int(layer_gib * GIB) for place in range(layers)},
        **options,
    )


QWEN_7B = a_model(layers=28, layer_gib=0.434, rest_gib=2.03)
QWEN_72B = a_model(layers=80, layer_gib=1.635, rest_gib=4.64)
QWEN_72B_IN_4_BITS = a_model(layers=80, layer_gib=0.46, rest_gib=4.64, can_offload=False)


def on_gpus(count: int, host: str) -> Room:
    return Room(gpus=dict.fromkeys(range(count), FREE_OF_80), host_bytes=parse_quantity(host))


def on_cpu(host: str) -> Room:
    return Room(host_bytes=parse_quantity(host))


@pytest.mark.parametrize(
    ("weights", "room", "places"),
    [
        pytest.param(QWEN_7B, on_gpus(1, "64Gi"), [Place.ONE], id="7B on one of 80 GB"),
        pytest.param(QWEN_72B, on_gpus(1, "64Gi"), [], id="72B on one, 64 GiB of host memory"),
        pytest.param(
            QWEN_72B, on_gpus(1, "256Gi"), [Place.OFFLOADED], id="72B on one, 256 GiB of it"
        ),
        pytest.param(QWEN_72B, on_gpus(2, "64Gi"), [Place.SPREAD], id="72B on two"),
        pytest.param(QWEN_72B, on_gpus(2, "256Gi"), [Place.SPREAD], id="72B on two, 256 GiB"),
        pytest.param(QWEN_72B, on_gpus(8, "64Gi"), [Place.SPREAD], id="72B on eight"),
        pytest.param(QWEN_72B, on_gpus(8, "256Gi"), [Place.SPREAD], id="72B on eight, 256 GiB"),
        pytest.param(QWEN_72B_IN_4_BITS, on_gpus(1, "64Gi"), [Place.ONE], id="QLoRA of 72B"),
        pytest.param(
            QWEN_72B_IN_4_BITS,
            Room(gpus={0: 24 * GIB}, host_bytes=512 * GIB),
            [],
            id="4 bits can't be offloaded",
        ),
        pytest.param(QWEN_7B, on_cpu("64Gi"), [Place.ONE], id="7B on a CPU"),
        pytest.param(QWEN_7B, on_cpu("12Gi"), [], id="7B on a CPU with a small host"),
        pytest.param(QWEN_7B, Room(), [Place.ONE], id="a host of unknown memory"),
        pytest.param(None, on_gpus(1, "64Gi"), [Place.ONE], id="a model of unknown size"),
    ],
)
def test_the_best_placement_that_fits_is_tried_first_and_tensors_only_last(
    weights: Weights | None, room: Room, places: list[Place]
) -> None:
    found = [placement.place for placement in placements(weights, room)]

    assert found[: len(places)] == places
    assert found[-1] is Place.TENSORS
    assert set(found[len(places) : -1]) <= {Place.OFFLOADED}


@pytest.mark.parametrize("gpus", [1, 2, 3, 8])
def test_no_device_exceeds_its_memory_and_every_module_is_placed(gpus: int) -> None:
    room = on_gpus(gpus, "256Gi")
    sizes = dict(QWEN_72B.layers) | {"model.embed_tokens": QWEN_72B.rest_bytes, "lm_head": 0}
    loading = placements(QWEN_72B, room)[:-1]

    assert loading
    for placement in loading:
        assert set(placement.device_map) == set(sizes)
        for device in {*placement.device_map.values()}:
            held = sum(sizes[name] for name, it in placement.device_map.items() if it == device)
            free = room.host_bytes if device == CPU else room.gpus[int(device)]
            assert held < 0.95 * (free or 0)


def test_a_model_is_spread_evenly_over_gpus() -> None:
    spread = placements(QWEN_72B, on_gpus(8, "64Gi"))[0]
    held = dict.fromkeys(range(8), 0)
    for name, size in {**QWEN_72B.layers, "lm_head": QWEN_72B.rest_bytes}.items():
        held[int(spread.device_map[name])] += size

    assert max(held.values()) < 1.2 * QWEN_72B.total_bytes / 8


def test_embeddings_and_head_are_on_the_first_gpu_if_layers_are_offloaded() -> None:
    offloaded = placements(QWEN_72B, on_gpus(1, "256Gi"))[0]

    assert {offloaded.device_map[name] for name in QWEN_72B.rest} == {0}
    assert CPU in offloaded.device_map.values()


def test_the_multi_gpu_example_is_verified_by_its_answers() -> None:
    spec = yaml.safe_load((EXAMPLES / "multi-gpu.yaml").read_text())["spec"]
    gpus = spec["resources"]["gpusPerNode"]
    assert spec["config"]["model_name_or_path"] == "Qwen/Qwen2.5-72B-Instruct"
    assert "80GB" in spec["podTemplate"]["spec"]["nodeSelector"]["nvidia.com/gpu.product"]

    first = placements(QWEN_72B, on_gpus(gpus, spec["resources"]["memory"]))[0]

    assert first.place is Place.SPREAD
