# SPDX-License-Identifier: Apache-2.0
"""CPU time of one request to the API server, by our client and by the Kubernetes client's.

    python tests/benchmarks/api_requests.py [REQUESTS]

The server is a separate process on 127.0.0.1 that always sends the same response. Prints the rows
of docs/contributing/benchmarks.md.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kubernetes.aio import client

sys.path.insert(0, str(Path(__file__).parents[1]))
from finetune_operator.job.manifests import build_attempt
from finetune_operator.kube.client import KubeApi
from finetune_operator.objects.names import TRAINING_JOBS
from support.factories import SETTINGS, a_job
from support.served import a_login

TURNS = 5
SERVER = """
import asyncio, sys
from aiohttp import web

BODY = sys.stdin.buffer.read()

async def answer(request):
    await request.read()
    return web.Response(body=BODY, content_type="application/json")

async def main():
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
MANIFEST = build_attempt(a_job(), 1, SETTINGS)[-1]
ANSWER = json.dumps(MANIFEST).encode()


def main(count: int) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        server.stdin.write(ANSWER)
        server.stdin.close()
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        asyncio.run(_compare(address, count))
    finally:
        server.kill()
        server.wait()


async def _compare(address: str, count: int) -> None:
    ours = KubeApi(a_login(address))
    configuration: Any = client.Configuration()
    configuration.host = address
    theirs: Any = client.ApiClient(configuration)

    async def get_ours() -> None:
        await ours.get(TRAINING_JOBS, "team", "balloon-1")

    async def get_theirs() -> None:
        await _ask(theirs, "GET", TRAINING_JOBS.path("team", "balloon-1"), None)

    async def create_ours() -> None:
        await ours.create(TRAINING_JOBS, MANIFEST)

    async def create_theirs() -> None:
        await _ask(theirs, "POST", TRAINING_JOBS.path("team"), MANIFEST)

    print(f"CPU time of a request, medians of {TURNS} turns of {count} requests")
    for name, mine, other in (
        ("GET of a batch Job", get_ours, get_theirs),
        ("POST of a batch Job", create_ours, create_theirs),
    ):
        turns = [(await _measure(other, count), await _measure(mine, count)) for _ in range(TURNS)]
        before, now = (statistics.median(column) for column in zip(*turns, strict=True))
        print(f"| {name} | {before:.2f} ms | {now:.2f} ms | {now / before:.2f} |")
    await ours.close()
    await theirs.close()


async def _ask(api: Any, method: str, path: str, body: Any) -> Any:
    """The client of this operator until 0.2."""
    method, url, headers, body, _ = await api.param_serialize(
        method,
        path,
        header_params={"Accept": "application/json", "Content-Type": "application/json"},
        body=body,
        auth_settings=["BearerToken"],
    )
    response = await api.call_api(method, url, headers, body, _request_timeout=30)
    return json.loads(await response.read())


async def _measure(request: Callable[[], Awaitable[None]], count: int) -> float:
    await request()
    begin = time.process_time()
    for _ in range(count):
        await request()
    return (time.process_time() - begin) / count * 1000


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
