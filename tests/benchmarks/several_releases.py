# SPDX-License-Identifier: Apache-2.0
"""The same jobs with one operator for all, and with several that have separate namespaces.

    python tests/benchmarks/several_releases.py [JOBS NAMESPACES]

Real API server; pods are created and stay Pending. Jobs are created all at once, the same number in
each namespace. Prints the rows of docs/contributing/benchmarks.md: the resource use of each
operator.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.control_plane import ControlPlane

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers.load import AT_ONCE, session_of, watched
from benchmarks.process_use import cpu_seconds, resident_mebibytes
from cluster.jobs import a_job
from cluster.releases_side_by_side import Release, installed

SETTLED_SECONDS = 5
SHARES = (1, 2, 4, 10)
"""Numbers of releases; those that have a namespace each are measured."""


def main(jobs: int, number: int) -> None:
    teams = [f"team-{index}" for index in range(number)]
    print(f"{jobs} jobs in {number} namespaces, all at once; load {os.getloadavg()[0]:.0f}")
    for share in (it for it in SHARES if it <= number):
        watched_by = {f"platform-{index}": teams[index::share] for index in range(share)}
        print(_row(watched_by, teams, jobs))


def _row(watched_by: Mapping[str, Sequence[str]], teams: Sequence[str], jobs: int) -> str:
    with ControlPlane.up(durable=True) as plane, tempfile.TemporaryDirectory() as folder:
        for team in teams:
            plane.kubectl("create", "namespace", team)
        with installed(plane, Path(folder), watched_by) as releases:
            before = _cpu(releases)
            seconds = asyncio.run(_start_all(plane, teams, jobs))
            time.sleep(SETTLED_SECONDS)
            used = [now - then for now, then in zip(_cpu(releases), before, strict=True)]
            memory = [resident_mebibytes(it.operator.pid) for it in releases]
    cpu = ", ".join(f"{it:.1f}" for it in used)
    resident = ", ".join(f"{it:.0f}" for it in memory)
    return f"| {len(releases)} | {jobs / seconds:.0f}/s | {cpu} s | {resident} MiB |"


def _cpu(releases: Sequence[Release]) -> list[float]:
    return [cpu_seconds(it.operator.pid) for it in releases]


async def _start_all(plane: ControlPlane, teams: Sequence[str], jobs: int) -> float:
    """Seconds until each has its batch Job."""
    async with session_of(plane) as session:
        turns, begin = asyncio.Semaphore(AT_ONCE), time.monotonic()

        async def create(number: int) -> None:
            team = teams[number % len(teams)]
            path = f"/apis/finetune.dev/v1alpha1/namespaces/{team}/finetunejobs"
            async with turns, session.post(path, json=a_job(f"job-{number}")) as answer:
                answer.raise_for_status()

        async with asyncio.TaskGroup() as tasks:
            for number in range(jobs):
                tasks.create_task(create(number))
            seen = 0
            async for kind, _ in watched(session, "/apis/batch/v1/jobs"):
                seen += kind == "ADDED"
                if seen == jobs:
                    break
        return time.monotonic() - begin


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given or (200, 4))
