# SPDX-License-Identifier: Apache-2.0
"""A fake of scheduler and kubelet, which reports that each pod runs and then that it succeeded.

No pod runs: the benchmark measures the controllers' reactions.
"""

import asyncio
from typing import Any

import aiohttp

from benchmarks.peers.load import watched
from support.factories import a_good_outcome

_MERGE = {"Content-Type": "application/merge-patch+json"}
_BEGAN, _ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


async def play(session: aiohttp.ClientSession, namespace: str) -> None:
    """Runs until it is cancelled."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    known: set[str] = set()
    async with asyncio.TaskGroup() as tasks:
        async for _, pod in watched(session, pods):
            name = pod["metadata"]["name"]
            if name not in known:
                known.add(name)
                tasks.create_task(_live(session, f"{pods}/{name}/status", pod))


async def _live(session: aiohttp.ClientSession, path: str, pod: dict[str, Any]) -> None:
    (container,) = pod["spec"]["containers"]
    for status in (running(container["name"]), _ended(container["name"])):
        await say(session, path, status)


async def say(session: aiohttp.ClientSession, path: str, status: dict[str, Any]) -> None:
    """Writes a kubelet's status to this path."""
    async with session.patch(path, json={"status": status}, headers=_MERGE) as answer:
        answer.raise_for_status()


def running(container: str) -> dict[str, Any]:
    """The status of a running pod."""
    well = [{"type": each, "status": "True"} for each in ("Ready", "ContainersReady")]
    state = {"running": {"startedAt": _BEGAN}}
    return {
        "phase": "Running",
        "startTime": _BEGAN,
        "conditions": well,
        "containerStatuses": [_container(container, state, ready=True)],
    }


def _ended(container: str) -> dict[str, Any]:
    ended = {
        "exitCode": 0,
        "reason": "Completed",
        # Our operator parses it; to the others it is a string.
        "message": a_good_outcome().to_json(),
        "startedAt": _BEGAN,
        "finishedAt": _ENDED,
    }
    return {
        "phase": "Succeeded",
        "conditions": [],
        "containerStatuses": [_container(container, {"terminated": ended}, ready=False)],
    }


def _container(name: str, state: dict[str, Any], *, ready: bool) -> dict[str, Any]:
    return {
        "name": name,
        "image": "trainer:1",
        "imageID": "",
        "ready": ready,
        "restartCount": 0,
        "state": state,
    }
