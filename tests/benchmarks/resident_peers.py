# SPDX-License-Identifier: Apache-2.0
"""The memory of thousands of started jobs: our operator, and Kubeflow Trainer with JobSet.

    python tests/benchmarks/resident_peers.py [JOBS]

Each side has its own control plane, without nodes and without kube-controller-manager: each job has
its batch Job (theirs also its JobSet), and no pod. Both are measured when they have started all,
and again after a restart. Prints the rows of docs/contributing/benchmarks.md.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.narration import step

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import ours
from benchmarks.peers.installing import installed
from benchmarks.peers.load import session_of, start_jobs
from benchmarks.peers.processes import seconds_until_ready
from benchmarks.peers.sides import Side

AT_A_TIME = 500
"""Jobs in each namespace, which are created all at once."""
IDLE_SHARE = 0.02
"""Share of a core: below it, a side has processed everything."""


def main(jobs: int) -> None:
    binaries.build(binaries.PEERS)
    print("| side | started | after a restart | CPU time of that start |")
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        environment = ours.installed_copy(Path(folder))
        for is_ours in (True, False):
            with step(f"Measure {'ours' if is_ours else 'theirs'}"):
                row = _measured(environment if is_ours else None, jobs)
            print(row, flush=True)


def _measured(environment: dict[str, str] | None, jobs: int) -> str:
    with installed(environment) as (plane, side):
        try:
            seconds_until_ready(side.controllers)
            side.complete()
            plane.kill("kube-controller-manager")
            asyncio.run(_start(plane, side, jobs))
            _wait_until_idle(side)
            started = side.resident_mebibytes()
            side.end()
            # Otherwise a killed leader's Lease holds the next one up, and it looks idle.
            plane.kubectl("delete", "leases", "--all", "--all-namespaces")
            seconds_until_ready(side.controllers)
            _wait_until_idle(side)
            used, restarted = side.cpu_seconds(), side.resident_mebibytes()
        finally:
            side.end()
    return f"| {side.title} | {started:.0f} MiB | {restarted:.0f} MiB | {used:.1f} s |"


async def _start(plane: ControlPlane, side: Side, jobs: int) -> None:
    async with session_of(plane) as session:
        for first in range(0, jobs, AT_A_TIME):
            namespace = f"resident-{first}"
            plane.kubectl("create", "namespace", namespace)
            await start_jobs(session, side, namespace, min(AT_A_TIME, jobs - first), None)


def _wait_until_idle(side: Side) -> None:
    while True:
        before, began = side.cpu_seconds(), time.monotonic()
        time.sleep(5)
        if (side.cpu_seconds() - before) / (time.monotonic() - began) < IDLE_SHARE:
            return


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given or (3000,))
