# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_cli.cluster import comparison, curves


def a_job(name: str, *, progress: dict[str, float] | None = None, **config: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"config": config, "resources": {"nodes": 1}},
        "status": {"phase": "Succeeded", "runId": f"run-{name}", "progress": progress or {}},
    }


def test_a_comparison_lists_only_differences_and_results() -> None:
    one = a_job("one", progress={"loss": 0.5}, learning_rate=2e-4, lora_r=16, packing=True)
    other = a_job("other", progress={"loss": 0.25}, learning_rate=1e-4, lora_r=16)

    assert comparison.compare(one, other).splitlines() == [
        "                      one        other",
        "phase                 Succeeded  Succeeded",
        "run                   run-one    run-other",
        "config.learning_rate  0.0002     0.0001",
        "config.packing        true       -",
        "loss                  0.5        0.25",
    ]


def test_a_null_is_distinguished_from_an_absent_key() -> None:
    assert comparison.differences({"max_length": None}, {}) == [("max_length", "null", "-")]
    assert comparison.differences({"a": 1}, {"a": 1}) == []


def a_trained(name: str) -> dict[str, Any]:
    history = [{"step": step, "loss": 4 / step} for step in range(1, 20)]
    return {"metadata": {"name": name}, "status": {"lossHistory": history}}


def test_loss_curves_are_distinguishable_without_colours() -> None:
    picture = curves.draw([a_trained("one"), a_trained("other")], width=60, height=15)

    assert "one" in picture
    assert "o other" in picture
    assert "\x1b" not in picture
    assert len(picture.strip().splitlines()) == 15


def test_a_terminal_gets_colours() -> None:
    assert "\x1b" in curves.draw([a_trained("one")], is_coloured=True)


def test_a_job_without_a_loss_is_refused_with_a_clear_message() -> None:
    with pytest.raises(ValueError, match="new: no loss has been reported yet"):
        curves.draw([{"metadata": {"name": "new"}}])
