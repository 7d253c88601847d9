# SPDX-License-Identifier: Apache-2.0
"""One of two nodes has its model immediately, and the other waits for a slow hub: both finish."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_contract import mounts
from finetune_contract.run import World
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.hub.fetching import HubModel, fetch_from_hub
from trainer import in_process
from trainer.attempt.test_training import free_port, outcome_of, start
from trainer.hub_files import FileHub, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODEL = "org/tiny"
WEIGHTS = "model.safetensors"
STEPS = 4
LONGEST_SECONDS = 240
"""The longest that each part takes on a busy machine."""


@pytest.fixture
def hub(tiny_model: Path) -> Iterator[FileHub]:
    with serve() as files:
        files.add(MODEL, tiny_model)
        files.pieces = 20  # so that it makes progress before it stops
        yield files


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the condition was not reached"
        threading.Event().wait(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cache_of(place: Path, hub: FileHub) -> dict[str, str]:
    """The environment of a node with its own cache, and the hub that it uses."""
    asks = {"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "", "HF_ENDPOINT": hub.endpoint}
    return {**asks, "HF_HOME": str(place / "hf")}


def test_a_node_that_has_its_model_waits_for_one_that_downloads_it_slowly(
    hub: FileHub, dialogues: Path, tmp_path: Path
) -> None:
    port = free_port()
    config = {"max_steps": STEPS, "env": {"OMP_NUM_THREADS": "1"}}
    alone = in_process.a_run(tmp_path, Path(MODEL), dialogues, **config)
    run = replace(alone, world=World(nodes=2, master_port=port))
    fast, slow = (tmp_path / name for name in ("fast", "slow"))
    fast.mkdir()
    slow.mkdir()
    has_it = {**os.environ, **cache_of(fast, hub)}
    fetch_from_hub(HubModel(name=MODEL), has_it, StopRequest(), lambda _: None)
    hub.stops_at[WEIGHTS] = len(hub.repositories[MODEL][WEIGHTS]) // 2

    nodes = [
        start(run, place, **{mounts.ENV_NODE_RANK: str(node)}, **cache_of(place, hub))
        for node, place in enumerate((fast, slow))
    ]
    assert hub.stopped.wait(LONGEST_SECONDS), "no download has started"
    until(lambda: listens(port))  # the ranks of the fast one wait for the others
    assert [node.poll() for node in nodes] == [None, None]
    hub.stops_at.clear()
    codes = [node.wait(LONGEST_SECONDS) for node in nodes]

    assert codes == [0, 0]
    for outcome in map(outcome_of, (fast, slow)):
        assert outcome.failure is None
        assert (outcome.step, outcome.world_size) == (STEPS, 2)
    # Each node has started its download once, and the slow one has resumed it.
    first, second, *later = hub.gets(WEIGHTS)
    assert first == second == f"GET {WEIGHTS}"
    assert all(f"GET {WEIGHTS} from " in it for it in later)
