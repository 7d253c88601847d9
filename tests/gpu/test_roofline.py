# SPDX-License-Identifier: Apache-2.0
"""The bound for measured speeds, and the page that shows both."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.roofline import H100_BF16, Work, flops_per_token, mfu, model_flops, roofline
from finetune_spec.memory import parse_model
from gpu.proof.models import SIZES, architecture
from gpu.proof.speed import SPEEDS, Speed

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "benchmarks.md"

SMALL = parse_model(
    {
        "model_type": "llama",
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 100,
    }
)
MATRICES = 2 * (8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16)
HEAD = 100 * 8
PAIRS = 2 * 2 * 8 * 5
"""Two layers, two products, eight numbers for each of the five tokens that one of ten attends
to.
"""

FULL = Work(row_tokens=10, learns_all=True, recomputes=False)


def test_a_full_step_multiplies_each_weight_three_times_and_the_head_once_more() -> None:
    assert model_flops(SMALL, FULL) == 2 * 3 * (MATRICES + HEAD + PAIRS)
    assert flops_per_token(SMALL, FULL) == model_flops(SMALL, FULL) + 2 * HEAD


def test_an_adapter_saves_the_weight_gradients_but_not_those_of_attention() -> None:
    adapter = replace(FULL, learns_all=False)

    assert model_flops(SMALL, FULL) - model_flops(SMALL, adapter) == 2 * (MATRICES + HEAD)


def test_recomputation_costs_one_more_forward_pass_and_is_not_counted_in_mfu() -> None:
    again = replace(FULL, recomputes=True)

    extra = flops_per_token(SMALL, again) - flops_per_token(SMALL, FULL)
    assert extra == 2 * (MATRICES + PAIRS)
    assert mfu(SMALL, again, 100.0) == mfu(SMALL, FULL, 100.0)


def test_a_gpu_twice_as_fast_has_twice_the_roofline() -> None:
    assert roofline(SMALL, FULL, 2 * H100_BF16) == 2 * roofline(SMALL, FULL)


@pytest.mark.parametrize("name", SIZES)
def test_the_model_sizes_match_their_names(name: str) -> None:
    billions = {"SmolLM2 135M": 0.135, "Qwen2.5 0.5B": 0.494, "Qwen2.5 7B": 7.616}.get(name)

    assert billions is None or architecture(name).parameters == pytest.approx(billions * 1e9, 0.01)


@pytest.mark.parametrize(
    "speed",
    [
        pytest.param(speed, id=f"{speed.model} {speed.goal}")
        for speed in SPEEDS
        if speed.goal is not None
    ],
)
def test_the_page_lists_each_goal_next_to_its_roofline(speed: Speed) -> None:
    bound = roofline(architecture(speed.model), speed.work)
    cells = f"| {speed.goal:,} | {bound:,.0f} |"

    assert speed.goal is not None
    assert speed.goal < bound
    assert [line for line in PAGE.read_text().splitlines() if speed.model in line and cells in line]
