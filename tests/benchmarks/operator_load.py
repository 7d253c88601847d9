# SPDX-License-Identifier: Apache-2.0
"""The operator's latency and cost: jobs at a steady rate, without pods.

    python tests/benchmarks/operator_load.py [JOBS_PER_SECOND SECONDS]

Starts a separate cluster, installs the operator's image, and stops the controller manager, so that
Jobs create no pods. Prints the rows of docs/contributing/benchmarks.md.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from testbed import images
from testbed.cluster import Cluster

sys.path.insert(0, str(Path(__file__).parents[1]))
from cluster.api_access import access_of
from cluster.installation import REPOSITORY
from cluster.jobs import a_job

OPERATOR = "system:serviceaccount:finetune-system:finetune-operator"
NAMESPACE = "default"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
FINETUNE_JOBS = f"/apis/finetune.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs"


def main(rate: float, seconds: float) -> None:
    images.build(images.OPERATOR)
    with Cluster.up() as cluster:
        cluster.load(images.OPERATOR.tag)
        cluster.install(REPOSITORY / "crds", REPOSITORY / "deploy")
        cluster.kill("kube-controller-manager")
        before = len(cluster.audit())
        latencies = asyncio.run(_measure(cluster, rate, count=int(rate * seconds)))
        writes = _writes(cluster.audit()[before:])
        memory = _resident_mebibytes()
    count = len(latencies)
    latencies.sort()
    print(f"{count} jobs at {rate:g}/s")
    print(f"| apply -> Job created, p50 | {statistics.median(latencies) * 1000:.0f} ms |")
    print(f"| apply -> Job created, p99 | {latencies[int(count * 0.99)] * 1000:.0f} ms |")
    print(f"| operator's API writes per started job | {sum(writes.values()) / count:.2f} |")
    for what, number in sorted(writes.items()):
        print(f"|   of these {what} | {number / count:.2f} |")
    print(f"| RSS of leader and follower | {' / '.join(f'{mib:.0f} MiB' for mib in memory)} |")


async def _measure(cluster: Cluster, rate: float, count: int) -> list[float]:
    """Seconds from sending each job to seeing its batch Job."""
    server, credentials = access_of(cluster.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=credentials, limit=100)
    async with aiohttp.ClientSession(server, connector=connector) as session:
        sent: dict[str, float] = {}
        seen: dict[str, float] = {}
        watch = asyncio.create_task(_watch(session, seen, count))
        begin = time.monotonic()
        posts = []
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            name = f"load-{number}"
            sent[name] = time.monotonic()
            posts.append(asyncio.create_task(_create(session, name)))
        await asyncio.gather(*posts)
        await asyncio.wait_for(watch, timeout=120)
    return [seen[name] - sent[name] for name in sent]


async def _create(session: aiohttp.ClientSession, name: str) -> None:
    async with session.post(FINETUNE_JOBS, json=a_job(name)) as answer:
        answer.raise_for_status()


async def _watch(session: aiohttp.ClientSession, seen: dict[str, float], count: int) -> None:
    """Notes when each job's first batch Job appears."""
    async with session.get(
        JOBS, params={"watch": "true"}, timeout=aiohttp.ClientTimeout(total=None)
    ) as answer:
        async for line in answer.content:
            event = json.loads(line)
            owner = event["object"]["metadata"]["ownerReferences"][0]["name"]
            seen.setdefault(owner, time.monotonic())
            if len(seen) == count:
                return


def _writes(audit: list[dict[str, Any]]) -> Counter[str]:
    """The operator's writes, without its Lease and its token reviews."""
    return Counter(
        _name(event)
        for event in audit
        if event["user"]["username"] == OPERATOR
        and event["verb"] in ("create", "update", "patch", "delete")
        and event["objectRef"]["resource"] not in ("leases", "tokenreviews")
    )


def _name(event: Mapping[str, Any]) -> str:
    target = event["objectRef"]
    resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
    return f"{event['verb']} {resource}"


def _resident_mebibytes() -> list[float]:
    found = subprocess.run(
        ["pgrep", "-f", "^python3 -m finetune_operator"], capture_output=True, text=True, check=True
    )
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in found.stdout.split()]
    kibibytes = [int(status.split("VmRSS:")[1].split()[0]) for status in statuses]
    return sorted((size / 1024 for size in kibibytes), reverse=True)


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]]
    main(*given or (20.0, 60.0))
