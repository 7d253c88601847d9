# SPDX-License-Identifier: Apache-2.0
"""How many progress reports one operator handles, and the cost of each.

    python tests/benchmarks/progress_load.py [JOBS SECONDS]

Real API server and tokens; a fake kubelet reports the pods as running. First each job reports every
two seconds and each report is written; then all report as fast as they get responses, and each job
is written once a second. Prints the rows of docs/contributing/benchmarks.md.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from testbed.control_plane import ControlPlane

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import ours
from benchmarks.peers.load import session_of, start_jobs, watched
from benchmarks.peers.processes import seconds_until_ready
from benchmarks.peers.sides import Place, Side
from benchmarks.peers.stand_in import running, say
from benchmarks.peers.table import done
from benchmarks.peers.writes import writes_of
from finetune_contract.mounts import progress_audience
from finetune_contract.progress import Progress
from finetune_operator.objects.names import LABEL_JOB
from finetune_operator.progress.server import PROGRESS_PATH

NAMESPACE = "default"
AT_ONCE = 8
"""The operator accepts 16 per address at a time."""
EACH_SECONDS = 2.0
INTERVAL = {"PROGRESS_INTERVAL_SECONDS": "1"}


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A fake trainer: its endpoint, and its pod's token."""

    url: str
    token: str

    async def report(self, session: aiohttp.ClientSession, step: int) -> None:
        body = Progress(attempt=1, step=step, total_steps=1_000_000, loss=1.5).to_body()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        async with session.post(self.url, data=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{self.url}: {answer.status} {await answer.text()}")


def main(jobs: int, seconds: int) -> None:
    with _installed() as (plane, side):
        asyncio.run(_measure(plane, side, jobs, seconds))


@contextmanager
def _installed() -> Iterator[tuple[ControlPlane, Side]]:
    with (
        ControlPlane.up(audited=True, durable=True) as plane,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = Path(name)
        place = Place(plane=plane, folder=folder)
        side = ours.install(place, {**ours.installed_copy(folder / "copy"), **INTERVAL})
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        seconds_until_ready(side.controllers)
        try:
            yield plane, side
        finally:
            side.controllers[0].end()


async def _measure(plane: ControlPlane, side: Side, jobs: int, seconds: int) -> None:
    (operator,) = side.controllers
    async with session_of(plane) as api, aiohttp.ClientSession() as session:
        await start_jobs(api, side, NAMESPACE, jobs, None)
        trainers = await _trainers(api, operator.address, jobs)
        steps = itertools.count(1)
        for trainer in trainers:  # Each token is reviewed once.
            await trainer.report(session, next(steps))
        await asyncio.sleep(EACH_SECONDS)
        for title, reports in (
            (f"{jobs / EACH_SECONDS:.0f} reports/s", _steadily(session, trainers, steps, seconds)),
            ("as many as are answered", _at_full_speed(session, trainers, steps, seconds)),
        ):
            used, begin, before = operator.cpu_seconds(), time.monotonic(), _written(plane, side)
            number = await reports
            took = time.monotonic() - begin
            await asyncio.sleep(EACH_SECONDS)
            cpu, writes = operator.cpu_seconds() - used, _written(plane, side) - before
            figures = (
                f"{number / took:.0f}/s / {writes / took:.0f}/s / {cpu / number * 1000:.2f} ms"
            )
            print(f"| {title}: taken / written / CPU for each that is taken | {figures} |")
        print(f"| Lease lost meanwhile | {operator.log.count('leadership lost')} times |")


def _written(plane: ControlPlane, side: Side) -> int:
    return done(writes_of(side.accounts, plane.audit(), {NAMESPACE}))


async def _trainers(api: aiohttp.ClientSession, address: str, jobs: int) -> list[Trainer]:
    pods_path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    trainers = []
    async for kind, pod in watched(api, pods_path):
        if kind == "ADDED":
            path = f"{pods_path}/{pod['metadata']['name']}/status"
            await say(api, path, running(pod["spec"]["containers"][0]["name"]))
            trainers.append(await _trainer(api, address, pod))
        if len(trainers) == jobs:
            break
    return trainers


async def _trainer(api: aiohttp.ClientSession, address: str, pod: dict[str, Any]) -> Trainer:
    name = pod["metadata"]["labels"][LABEL_JOB]
    path = f"/apis/finetune.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs/{name}"
    uid = (await _get(api, path))["metadata"]["uid"]
    bound = {key: pod["metadata"][key] for key in ("name", "uid")}
    spec = {
        "audiences": [progress_audience(NAMESPACE, name, uid)],
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", **bound},
    }
    asked = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token"
    async with api.post(asked, json={"spec": spec}) as answer:
        answer.raise_for_status()
        token = (await answer.json())["status"]["token"]
    url = address + PROGRESS_PATH.format(namespace=NAMESPACE, name=name)
    return Trainer(url=url, token=token)


async def _get(api: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with api.get(path) as answer:
        answer.raise_for_status()
        found: dict[str, Any] = await answer.json()
        return found


async def _steadily(
    session: aiohttp.ClientSession, trainers: list[Trainer], steps: Iterator[int], seconds: int
) -> int:
    pace, begin = EACH_SECONDS / len(trainers), time.monotonic()
    number = 0
    while time.monotonic() - begin < seconds:
        await trainers[number % len(trainers)].report(session, next(steps))
        number += 1
        await asyncio.sleep(max(0.0, begin + number * pace - time.monotonic()))
    return number


async def _at_full_speed(
    session: aiohttp.ClientSession, trainers: list[Trainer], steps: Iterator[int], seconds: int
) -> int:
    turns, end = itertools.cycle(trainers), time.monotonic() + seconds

    async def one_after_another() -> int:
        number = 0
        while time.monotonic() < end:
            await next(turns).report(session, next(steps))
            number += 1
        return number

    return sum(await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE))))


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given or (100, 20))
