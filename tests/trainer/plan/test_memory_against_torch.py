# SPDX-License-Identifier: Apache-2.0
"""The estimate compared with the allocation of torch's own code for real architectures, without a
GPU.

`trainer.fake_gpu` computes with fake CUDA tensors, in a separate process; docs/user/memory.md has
the table, and the simulated parts.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_spec.config import Context, read_config
from finetune_spec.memory import estimate_memory, parse_model
from trainer.fake_gpu.__main__ import BEGIN, END, PAGE, table
from trainer.fake_gpu.cases import LONG, SHORT, Case

TOLERANCE = 0.1
"""The accuracy in docs/user/memory.md."""


def compare(cases: Sequence[Case]) -> Mapping[str, Mapping[str, Any]]:
    """Estimate and torch's peak of each case, by its name."""
    paths = [*filter(None, sys.path), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-m", "trainer.fake_gpu", *(case.name for case in cases)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["name"]: row for row in rows}


@pytest.fixture(scope="module")
def short() -> Mapping[str, Mapping[str, Any]]:
    return compare(SHORT)


@pytest.fixture(scope="module")
def long() -> Mapping[str, Mapping[str, Any]]:
    return compare(LONG)


def require_within_tolerance(figures: Mapping[str, Any]) -> None:
    assert figures["estimate"] == pytest.approx(figures["torch_peak"], rel=TOLERANCE), figures


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_the_estimate_matches_torchs_allocations(
    case: Case, short: Mapping[str, Mapping[str, Any]]
) -> None:
    require_within_tolerance(short[case.name])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("case", LONG, ids=lambda case: case.name)
def test_the_estimate_matches_torchs_allocations_for_large_models(
    case: Case, long: Mapping[str, Mapping[str, Any]]
) -> None:
    require_within_tolerance(long[case.name])


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_page_shows_the_current_figures(short: Mapping[str, Mapping[str, Any]]) -> None:
    _, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, _ = rest.partition(END)

    rows = list(table(SHORT, [short[case.name] for case in SHORT]))
    assert shown.strip().splitlines()[: len(rows)] == rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "world"),
    [("GPT-2 124M", 16), ("Qwen2.5 0.5B", 3), ("Qwen2.5 7B", 8), ("Llama 3 70B", 16)],
)
def test_the_share_under_zero_3_matches_deepspeeds(model: str, world: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.fake_gpu.architectures import ARCHITECTURES

    config = ARCHITECTURES[model]()
    with torch.device("meta"):
        parameters = list(AutoModelForCausalLM.from_config(config).parameters())
    # DeepSpeed pads each parameter to a multiple of the processes, and gives each one part.
    share = sum(-(-parameter.numel() // world) for parameter in parameters)

    found = estimate_memory(
        read_config({"accelerate_config": "zero3", "bf16": True}),
        parse_model(json.loads(config.to_json_string(use_diff=False))),
        Context(nodes=1, processes_per_node=world, gpus_per_node=world),
    )
    assert found.gradients == pytest.approx(2 * share, rel=1e-3)
    # Weights and both of AdamW's moments, in 32 bits.
    assert found.optimizer == pytest.approx(3 * 4 * share, rel=1e-3)


def test_the_cases_are_numerous_and_distinct() -> None:
    names = [case.name for case in (*SHORT, *LONG)]

    assert len(set(names)) == len(names)
    assert len({case.model for case in (*SHORT, *LONG)}) >= 12
    assert {case.world for case in (*SHORT, *LONG)} >= {1, 2, 4, 8, 16}
