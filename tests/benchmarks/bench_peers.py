# SPDX-License-Identifier: Apache-2.0
"""Compares our operator with Kubeflow Trainer and JobSet, in turns on control planes of this
machine.

    python tests/benchmarks/bench_peers.py [ROUNDS JOBS]

Builds both peers from their Go modules. Each round has a control plane of its own (etcd, API server
and controllers, no node), on which one side is installed with its permissions and webhooks; JOBS
jobs in each part of it. Prints the rows of docs/contributing/benchmarks.md, and the load.
"""

import os
import sys
import tempfile
from pathlib import Path

from testbed import binaries
from testbed.narration import step

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import ours
from benchmarks.peers.figures import figures, kinds_of_writes
from benchmarks.peers.installing import installed
from benchmarks.peers.one_round import Round, measure
from benchmarks.peers.table import header, order, row

THEIRS = "Trainer and JobSet"
CAVEATS = """
- There is no node: pods are created and stay Pending. For an entire life, a stand-in reports that
  each pod runs and then that it succeeded; no progress is reported.
- Their clients keep the limits of their manifests: Trainer sends 50 requests a second, 100 in a
  burst; ours has no limit.
- Their job is one node of the runtime for torch without initializers, the smallest that they
  support; ours has 16 config keys, which are checked.
- Theirs are two processes, and their figures are sums. Each side has one replica, with its Lease.
- Both are given the certificates of their webhooks, although each can create its own.
- API server, etcd, kube-controller-manager and the program that creates the jobs share the cores
  with both.
- Ours runs from copied and compiled sources, as in the image."""


def main(rounds: int, jobs: int) -> None:
    binaries.build(binaries.PEERS)
    seen: dict[bool, list[Round]] = {True: [], False: []}
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        environment = ours.installed_copy(Path(folder))
        for is_ours in order(rounds):
            with step(f"Measure {'ours' if is_ours else THEIRS}"):
                seen[is_ours].append(_round(environment if is_ours else None, jobs))
            loads.append(os.getloadavg()[0])
            # In case a later round fails.
            print(seen[is_ours][-1].in_short(), file=sys.stderr, flush=True)
    print(f"{rounds} rounds of each, {jobs} jobs in each part, in turns A B B A")
    print(f"load of the machine: {min(loads):.0f} to {max(loads):.0f} on {os.cpu_count()} cores\n")
    print(header(THEIRS))
    for figure in figures(seen[True], seen[False]):
        print(row(figure))
    print()
    for title, side in (("ours", seen[True]), (THEIRS, seen[False])):
        print("\n".join(f"- {line}" for line in kinds_of_writes(title, side)))
    print(CAVEATS)


def _round(environment: dict[str, str] | None, jobs: int) -> Round:
    with installed(environment, audited=True) as (plane, side):
        return measure(plane, side, jobs)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given or (4, 60))
