# SPDX-License-Identifier: Apache-2.0
"""Nodes wait for each other for the job's `startDeadlineSeconds`: one may fetch for hours what
another already has.
"""

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.run import World
from finetune_trainer.exchange.heartbeats import HeartWatch
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.supervision import launching
from finetune_trainer.supervision.launching import elastic_launcher, wait_for_master


def a_launch(place: Path, *, node: int, start_seconds: float, port: int = 29500) -> Any:
    workspace = Workspace(root=place)
    return launching.Launch(
        world=World(nodes=2, processes_per_node=1, master_address="127.0.0.1", master_port=port),
        node=node,
        workspace=workspace,
        environment=os.environ,
        output=None,
        stop_seconds=1.0,
        start_seconds=start_seconds,
        watch=HeartWatch(workspace=workspace, ranks=[node]),
    )


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that advances by the seconds of each wait."""
    now = [0.0]

    def wait(self: StopRequest, seconds: float) -> bool:
        now[0] += seconds
        return False

    monkeypatch.setattr(launching.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(StopRequest, "wait", wait)
    return now


def test_a_first_node_that_starts_after_hours_is_waited_for(
    hours: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object) -> list[object]:
        if hours[0] < 3 * 3600:
            raise socket.gaierror("not yet")
        return []

    monkeypatch.setattr(launching.socket, "getaddrinfo", resolve)

    wait_for_master(World(nodes=2), 4 * 3600, StopRequest())

    assert hours[0] >= 3 * 3600


def test_a_first_node_that_never_starts_is_reported_with_what_to_raise(
    hours: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object) -> list[object]:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(launching.socket, "getaddrinfo", resolve)

    with pytest.raises(AttemptFailed) as caught:
        wait_for_master(World(nodes=2, master_address="balloon-0"), 7200, StopRequest())

    assert caught.value.failure.reason == "MasterNotFound"
    assert "balloon-0 did not resolve for 7200 s" in caught.value.failure.message
    assert "spec.startDeadlineSeconds" in caught.value.failure.remedy
    assert hours[0] >= 7200


def rendezvous(launch: Any) -> Any:
    """The parsed command line of torch's own launcher."""
    from torch.distributed import run
    from torch.distributed.elastic.rendezvous import registry
    from torch.distributed.launcher.api import RendezvousParameters

    _, _, *arguments = elastic_launcher(launch)
    config, _, _ = run.config_from_args(run.parse_args([*arguments, "script"]))
    endpoint = f"{launch.world.master_address}:{launch.world.master_port}"
    registry._register_default_handlers()
    return registry.get_rendezvous_handler(
        RendezvousParameters(
            backend=config.rdzv_backend,
            endpoint=endpoint,
            run_id=config.run_id,
            min_nodes=config.min_nodes,
            max_nodes=config.max_nodes,
            local_addr=None,
            **{"rank": launch.node, **config.rdzv_configs},
        )
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow  # importing torch
def test_torchs_launcher_waits_as_long_as_the_job_allows(tmp_path: Path) -> None:
    hours = rendezvous(a_launch(tmp_path, node=0, start_seconds=5 * 3600))

    assert hours.timeout.total_seconds() == 5 * 3600


@pytest.mark.slow  # importing torch
def test_nodes_that_start_at_different_times_join(tmp_path: Path) -> None:
    port = free_port()
    found: list[Any] = []
    first = rendezvous(a_launch(tmp_path, node=0, start_seconds=60, port=port))
    waiting = threading.Thread(target=lambda: found.append(first.next_rendezvous()), daemon=True)
    waiting.start()

    late = rendezvous(a_launch(tmp_path, node=1, start_seconds=60, port=port)).next_rendezvous()
    waiting.join(60)

    assert (late.rank, late.world_size) == (1, 2)
    assert [(it.rank, it.world_size) for it in found] == [(0, 2)]


@pytest.mark.slow  # importing torch
def test_a_node_that_never_starts_is_abandoned_at_the_jobs_deadline(
    tmp_path: Path,
) -> None:
    alone = rendezvous(a_launch(tmp_path, node=0, start_seconds=1, port=free_port()))

    with pytest.raises(Exception, match=r"[Tt]imed out|timeout"):
        alone.next_rendezvous()
