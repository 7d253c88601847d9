# SPDX-License-Identifier: Apache-2.0
"""Tests that need other hardware are removed with a message, never skipped as if they had
passed.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu.attempts import conversations, long_texts
from testbed import base_model
from trainer.tiny_models import a_model

LACKING: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Removes the tests that require more GPUs than there are."""
    if config.getoption("markexpr") != "gpu":
        return  # They are not selected, and only torch can find the machine's hardware.
    wanting = [item for item in items if _lacks(item)]
    if wanting:
        config.hook.pytest_deselected(items=wanting)
        items[:] = [item for item in items if item not in wanting]
        LACKING.extend(f"{item.name}: {_lacks(item)}" for item in wanting)


def _lacks(item: pytest.Item) -> str:
    """The hardware that a GPU test requires and this machine lacks."""
    if item.get_closest_marker("gpu") is None or not (there := _gpus()):
        return ""  # Without any GPU, `make test-gpu` has already reported it.
    wanted = getattr(getattr(item, "callspec", None), "params", {})
    if wanted.get("gpus", 1) > there:
        return f"wants {wanted['gpus']} GPUs, there is {there}"
    return ""


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in LACKING:
        terminalreporter.write_line(f"NOT SHOWN HERE {line}", yellow=True)


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations, each shorter than a pack."""
    return conversations(tmp_path_factory.mktemp("dialogues"))


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def model(device: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SmolLM2 on a GPU; on a CPU a model with few weights, for the path alone."""
    if device == "cuda":
        yield base_model.folder()
    else:
        place = tmp_path_factory.mktemp("model")
        yield a_model(place, hidden_size=64, intermediate_size=128, max_position_embeddings=2048)
