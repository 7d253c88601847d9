# SPDX-License-Identifier: Apache-2.0
"""The free memory of a node, as the kernel reports it, and the wait for ranks that still use
some.
"""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.workspace import Workspace, write_atomically

pytestmark = [pytest.mark.slow]

MIB = 1024**2
MEMINFO = "MemTotal: 99999 kB\nMemAvailable: 8192 kB\n"
VERSION_2 = {
    "memory.max": "4194304",
    "memory.current": "2097152",
    "memory.stat": "anon 5\ninactive_file 524288\nactive_file 524288\n",
}
VERSION_1 = {
    "memory/memory.limit_in_bytes": "4194304",
    "memory/memory.usage_in_bytes": "3145728",
    "memory/memory.stat": "cache 9\ntotal_inactive_file 1048576\n",
}


@pytest.mark.parametrize(
    ("files", "meminfo", "free"),
    [
        pytest.param(VERSION_2, MEMINFO, 3 * MIB, id="cgroup v2: cached files count as free"),
        pytest.param(VERSION_1, MEMINFO, 2 * MIB, id="cgroup v1"),
        pytest.param({**VERSION_2, "memory.max": "max"}, MEMINFO, 8 * MIB, id="no limit"),
        pytest.param(
            {**VERSION_1, "memory/memory.limit_in_bytes": "9223372036854771712"},
            MEMINFO,
            8 * MIB,
            id="no limit, as v1 writes it",
        ),
        pytest.param(VERSION_2, "MemAvailable: 1024 kB", MIB, id="a machine with less than that"),
        pytest.param({}, None, None, id="a system without meminfo"),
    ],
)
def test_free_host_memory_is_read_from_cgroup_and_meminfo(
    tmp_path: Path, files: dict[str, str], meminfo: str | None, free: int | None
) -> None:
    from finetune_trainer.ranks.room import free_host_bytes

    for name, text in files.items():
        write_atomically(tmp_path / "cgroup" / name, text)
    if meminfo is not None:
        (tmp_path / "meminfo").write_text(meminfo)

    assert free_host_bytes(tmp_path / "cgroup", tmp_path / "meminfo") == free


def a_rank(workspace: Workspace, rank: int, ending: RankEnding, *, pid: int | None) -> None:
    result = RankResult(rank=rank, time=1.0, ending=ending)
    write_atomically(workspace.result(rank), result.to_json())
    if pid is not None:
        write_atomically(workspace.heartbeat(rank), f"{pid} saving")


def test_other_ranks_of_the_node_are_waited_for_until_they_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks import room

    workspace = Workspace(root=tmp_path)
    a_rank(workspace, 0, RankEnding.RUNNING, pid=os.getpid())
    a_rank(workspace, 1, RankEnding.RUNNING, pid=os.getpid())
    looks = []

    def end_at_the_third(_: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            a_rank(workspace, 1, RankEnding.FINISHED, pid=None)
            workspace.heartbeat(1).unlink()

    monkeypatch.setattr(room.time, "sleep", end_at_the_third)
    heart: Any = SimpleNamespace(beat=lambda doing: None)

    assert room.wait_for_others(workspace, 0, heart)
    assert len(looks) == 3


def test_a_rank_that_does_not_end_is_waited_for_only_for_a_limited_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks import room

    workspace = Workspace(root=tmp_path)
    a_rank(workspace, 1, RankEnding.RUNNING, pid=os.getpid())
    monkeypatch.setattr(room, "OTHERS_SECONDS", 0.1)
    heart: Any = SimpleNamespace(beat=lambda doing: None)

    assert not room.wait_for_others(workspace, 0, heart)
