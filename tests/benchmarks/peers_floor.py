# SPDX-License-Identifier: Apache-2.0
"""The delay from a job to its batch Job that no controller can avoid on this machine.

    python tests/benchmarks/peers_floor.py [ROUNDS JOBS]

A program that decides nothing repeats the writes of our operator for each new job, with no webhook.
API server, etcd, kube-controller-manager and load are those of bench_peers.py. Prints the rows of
docs/contributing/benchmarks.md.
"""

import asyncio
import json
import statistics
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import aiohttp

from testbed.control_plane import ControlPlane
from testbed.narration import step

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import ours
from benchmarks.peers.installing import installed
from benchmarks.peers.load import get, session_of, start_jobs, watched
from benchmarks.peers.one_round import STEADY_RATES
from benchmarks.peers.processes import seconds_until_ready
from benchmarks.peers.sides import Manifest, Side
from benchmarks.peers.table import percentile

_MODEL = "job-0"
"""The job whose writes are repeated for all others."""
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
_OF_THE_POD = ("controller-uid", "job-name")
_PATHS = (
    "/api/v1/namespaces/{}/configmaps",
    "/apis/batch/v1/namespaces/{}/jobs",
    "/api/v1/namespaces/{}/events",
)


def main(rounds: int, jobs: int) -> None:
    delays: dict[float, list[tuple[float, float]]] = {rate: [] for rate in STEADY_RATES}
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        environment = ours.installed_copy(Path(folder))
        for number in range(rounds):
            with step(f"Measure round {number + 1}"), installed(environment) as (plane, side):
                for rate, delay in asyncio.run(_round(plane, side, jobs)).items():
                    delays[rate].append(delay)
    print("| jobs a second | p50 | p99 |\n| --- | --- | --- |")
    for rate, seen in delays.items():
        halves, most = (statistics.median(it) * 1000 for it in zip(*seen, strict=True))
        print(f"| {rate:.0f} | {halves:.0f} ms | {most:.0f} ms |")


async def _round(plane: ControlPlane, side: Side, jobs: int) -> dict[float, tuple[float, float]]:
    async with session_of(plane) as session:
        seconds_until_ready(side.controllers)
        try:
            side.complete()
            plane.kubectl("create", "namespace", "model")
            await start_jobs(session, side, "model", 1, None)
            status, children = await _writes(session, side)
        finally:
            side.end()
        plane.kubectl("delete", "validatingwebhookconfigurations", "--all")
        delays = {}
        for rate in STEADY_RATES:
            namespace = f"steady-{rate:.0f}"
            plane.kubectl("create", "namespace", namespace)
            writer = asyncio.create_task(_repeat(session, side, namespace, status, children))
            seen = (await start_jobs(session, side, namespace, jobs, rate)).latencies()
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            delays[rate] = (percentile(seen, 0.5), percentile(seen, 0.99))
        return delays


async def _writes(session: aiohttp.ClientSession, side: Side) -> tuple[Manifest, list[str]]:
    """The status of the model, and its children as JSON."""
    children: list[Manifest] = []
    async with asyncio.timeout(60):
        # The event is the last write.
        while len(children) < len(_PATHS):
            await asyncio.sleep(0.1)
            lists = [(await get(session, it.format("model")))["items"] for it in _PATHS]
            children = [it for each in lists for it in each if _is_of_model(it)]
    job = await get(session, f"{side.resource.format('model')}/{_MODEL}")
    uid = job["metadata"]["uid"]
    return job["status"], [json.dumps(_as_sent(it)).replace(uid, "UID") for it in children]


def _is_of_model(child: Manifest) -> bool:
    """Not an event of the Job controller, nor the cluster's certificate."""
    source = child.get("involvedObject", {}).get("kind", "FineTuneJob")
    return source == "FineTuneJob" and str(child["metadata"]["name"]).startswith(_MODEL)


def _as_sent(body: Manifest) -> Manifest:
    """Without what the API server has added."""
    metadata = {key: it for key, it in body["metadata"].items() if key not in _OF_THE_SERVER}
    sent = {**body, "metadata": _unlabelled(metadata)}
    sent.pop("status", None)
    if "template" in sent.get("spec", {}):
        spec = {key: it for key, it in sent["spec"].items() if key != "selector"}
        template = {**spec["template"], "metadata": _unlabelled(spec["template"]["metadata"])}
        sent["spec"] = {**spec, "template": template}
    return sent


def _unlabelled(metadata: Manifest) -> Manifest:
    labels = metadata.get("labels", {})
    return {
        **metadata,
        "labels": {key: it for key, it in labels.items() if not key.endswith(_OF_THE_POD)},
    }


async def _repeat(
    session: aiohttp.ClientSession,
    side: Side,
    namespace: str,
    status: Manifest,
    children: list[str],
) -> None:
    """Runs until it is cancelled."""
    jobs = side.resource.format(namespace)
    async with asyncio.TaskGroup() as tasks:
        async for kind, job in watched(session, jobs):
            if kind == "ADDED":
                tasks.create_task(_start(session, jobs, namespace, job, status, children))


async def _start(
    session: aiohttp.ClientSession,
    jobs: str,
    namespace: str,
    job: Manifest,
    status: Manifest,
    children: list[str],
) -> None:
    """In the order of our operator: ConfigMap, Job, status, event."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    *earlier, event = (
        text.replace(_MODEL, name).replace("UID", uid).replace('"model"', f'"{namespace}"')
        for text in children
    )
    for path, text in zip(_PATHS, earlier, strict=False):
        await _send(session, "POST", path.format(namespace), text, "application/json")
    merged = json.dumps({"status": status})
    await _send(session, "PATCH", f"{jobs}/{name}/status", merged, "application/merge-patch+json")
    await _send(session, "POST", _PATHS[2].format(namespace), event, "application/json")


async def _send(
    session: aiohttp.ClientSession, method: str, path: str, text: str, kind: str
) -> None:
    headers = {"Content-Type": kind}
    async with session.request(method, path, data=text, headers=headers) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given or (4, 60))
