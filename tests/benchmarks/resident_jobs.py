# SPDX-License-Identifier: Apache-2.0
"""The operator's cost of thousands of idle jobs: memory, CPU at rest, start-up.

    python tests/benchmarks/resident_jobs.py [JOBS]

Half of the jobs have finished, a quarter are suspended, and a quarter have a Job without a pod. API
server and etcd are real; no pods are created. Prints the rows of docs/contributing/benchmarks.md.
"""

import asyncio
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from testbed.cluster import Cluster

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.process_use import cpu_seconds, resident_mebibytes
from cluster.api_access import access_of
from cluster.installation import REPOSITORY
from cluster.jobs import a_job
from cluster.operator_process import OperatorProcess
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.spec import parse_job
from finetune_operator.job.status.status import next_status
from support.factories import NOW, SETTINGS, a_good_outcome, an_attempt

PORT = 18083
FINETUNE_JOBS = "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs"
QUIET_SECONDS = 330
"""Longer than the interval at which each replica lists all objects, and than a watch lasts."""
BUSY_SHARE = 0.05
"""Share of a core: an operator that uses less is idle, unless the machine is too busy to give it
more: measure on an idle machine.
"""
IDLE_SECONDS = 10
"""A start is over after this time without work: it lists everything once more, after a pause."""


def main(count: int) -> None:
    with Cluster.up() as cluster, tempfile.TemporaryDirectory() as folder:
        cluster.install(REPOSITORY / "crds")
        cluster.kubectl("create", "namespace", "finetune-system")
        for component in ("kubelet", "kube-scheduler", "kube-controller-manager"):
            cluster.kill(component)
        asyncio.run(_fill(cluster, count))
        operator, other = (
            OperatorProcess(f"resident-{port}", cluster.kubeconfig, port, Path(folder))
            for port in (PORT, PORT + 1)
        )
        try:
            restarted = _measure_starts(cluster, operator, count)
            _start(other, PORT + 1)
            print(f"| CPU time of a follower's start | {cpu_seconds(other.pid):.1f} s |")
            _measure_rest(cluster, operator, other)
            writes = _status_writes(cluster, restarted)
            print(f"| status writes after a restart, and at rest | {writes} |")
        finally:
            operator.end()
            other.end()


def _measure_starts(cluster: Cluster, operator: OperatorProcess, count: int) -> int:
    """Returns the number of audit events before the second start."""
    before, begin = len(cluster.audit()), time.monotonic()
    first_ready, _ = _start(operator)
    _wait_until(lambda: _phases(cluster) == {"Succeeded", "Suspended", "Starting"}, seconds=900)
    first_rest = time.monotonic() - begin
    writes = _status_writes(cluster, before)
    operator.kill()
    cluster.kubectl("delete", "lease", "-n", "finetune-system", "--all")
    before = len(cluster.audit())
    ready, rest = _start(operator)
    start_cpu = cpu_seconds(operator.pid)
    print(f"{count} jobs: half finished, a quarter suspended, a quarter with a Job without a pod")
    print(f"| start until ready / until each job was looked at | {ready:.1f} / {rest:.1f} s |")
    print(f"| CPU time of this start | {start_cpu:.1f} s |")
    print(f"| the same where half are new to it | {first_ready:.1f} / {first_rest:.1f} s |")
    print(f"| status writes for each that is new | {writes / (count // 2):.2f} |")
    return before


def _measure_rest(cluster: Cluster, leader: OperatorProcess, follower: OperatorProcess) -> None:
    requests = len(cluster.audit())
    shares = _shares_at_rest(leader, follower)
    asked = Counter(map(_name, cluster.audit()[requests:]))
    print(f"requests in {QUIET_SECONDS} s at rest: {dict(asked)}", file=sys.stderr)
    memory = [resident_mebibytes(each.pid) for each in (leader, follower)]
    print(f"| CPU at rest, leader / follower | {shares[0]:.1%} / {shares[1]:.1%} |")
    print(f"| RSS, leader / follower | {memory[0]:.0f} / {memory[1]:.0f} MiB |")


def _shares_at_rest(*operators: OperatorProcess) -> list[float]:
    """The share of a core that each uses without work."""
    used, began = [cpu_seconds(each.pid) for each in operators], time.monotonic()
    time.sleep(QUIET_SECONDS)
    seconds = time.monotonic() - began
    return [
        (cpu_seconds(each.pid) - before) / seconds
        for each, before in zip(operators, used, strict=True)
    ]


async def _fill(cluster: Cluster, count: int) -> None:
    server, credentials = access_of(cluster.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=credentials, limit=20)
    async with aiohttp.ClientSession(server, connector=connector) as session:
        for first in range(0, count, 100):
            numbers = range(first, min(first + 100, count))
            await asyncio.gather(*(_create(session, number) for number in numbers))


async def _create(session: aiohttp.ClientSession, number: int) -> None:
    job = a_job(f"resident-{number}")
    job["spec"] |= {"suspend": True} if number % 4 == 1 else {}
    async with session.post(FINETUNE_JOBS, json=job) as answer:
        answer.raise_for_status()
        made = await answer.json()
    if number % 2 == 0:
        async with session.patch(
            f"{FINETUNE_JOBS}/resident-{number}/status",
            json={"status": _finished(made)},
            headers={"Content-Type": "application/merge-patch+json"},
        ) as answer:
            answer.raise_for_status()


def _finished(body: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a job that has succeeded at its first attempt."""
    job = parse_job(body, SETTINGS)
    attempt = an_attempt(1, Result.SUCCEEDED, definition=job.definition)
    observed = Observed(attempts=(attempt,), outcome=a_good_outcome())
    return next_status({}, job, observed, decide(job, observed, NOW), NOW)


def _start(operator: OperatorProcess, port: int = PORT) -> tuple[float, float]:
    """Seconds until it reports that it is ready, and until it is idle."""
    begin = time.monotonic()
    operator.start()
    _wait_until(lambda: _is_ready(port))
    ready = time.monotonic() - begin
    rest = time.monotonic()
    while time.monotonic() - rest < IDLE_SECONDS:
        used = cpu_seconds(operator.pid)
        time.sleep(2)
        if cpu_seconds(operator.pid) - used > BUSY_SHARE * 2:
            rest = time.monotonic()
    return ready, rest - begin


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _phases(cluster: Cluster) -> set[str]:
    """Empty for a job without a first pass."""
    time.sleep(2)
    phase = "{range .items[*]}[{.status.phase}]{end}"
    printed = cluster.kubectl("get", "finetunejobs", "-o", f"jsonpath={phase}")
    return set(printed.strip("[]").split("]["))


def _wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the operator does not get ready")
        time.sleep(0.05)


def _name(event: Mapping[str, Any]) -> str:
    return f"{event['verb']} {event.get('objectRef', {}).get('resource')}"


def _status_writes(cluster: Cluster, before: int) -> int:
    return sum(
        event["verb"] == "patch" and event.get("objectRef", {}).get("resource") == "finetunejobs"
        for event in cluster.audit()[before:]
    )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given or (3000,))
