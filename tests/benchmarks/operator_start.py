# SPDX-License-Identifier: Apache-2.0
"""How long the operator takes until it is ready without jobs, here and at earlier commits.

    python tests/benchmarks/operator_start.py [COMMIT ...]

Needs Git. The API server is an empty fake, so this measures the operator's own start, from compiled
bytecode as in its image. Prints the rows of docs/contributing/benchmarks.md.
"""

import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.checkouts import checkouts, environment_of

TURNS = 7
IMPORT = "import finetune_operator.__main__"
VERBS = ["get", "list", "watch", "create", "update", "patch", "delete"]
KINDS = {
    "/api/v1": {"pods": "Pod"},
    "/apis/batch/v1": {"jobs": "Job"},
    "/apis/finetune.dev/v1alpha1": {
        "finetunejobs": "FineTuneJob",
        "finetuneschedules": "FineTuneSchedule",
    },
}


def main(commits: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, EmptyApiServer() as server:
        trees = checkouts(commits, Path(folder))
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(server.address)))
        seen: dict[str, list[tuple[float, ...]]] = {name: [] for name in trees}
        for turn in range(TURNS + 1):
            for name, tree in trees.items():
                environment = _environment(tree, folder, kubeconfig)
                figures = (_import_cpu(environment), *_start(environment))
                if turn:  # The first one compiles bytecode.
                    seen[name].append(figures)
    print(f"medians of {TURNS} turns: CPU s of the imports | CPU s until ready | s until ready")
    for name, turns in seen.items():
        medians = (statistics.median(column) for column in zip(*turns, strict=True))
        print(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in medians)} |")


def _environment(tree: Path, folder: str, kubeconfig: Path) -> Mapping[str, str]:
    return {
        **environment_of(tree),
        "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
        "PYTHONDONTWRITEBYTECODE": "",
        "KUBECONFIG": str(kubeconfig),
        "TRAINER_IMAGE": "trainer:1",
        "LISTEN_ADDRESS": "127.0.0.1",
        "PORT": str(_free_port()),
    }


def _import_cpu(environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", IMPORT], check=True, env=environment)
    return _cpu_since(before)


def _start(environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU seconds and seconds until it reports that it is ready."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run = [sys.executable, "-m", "finetune_operator"]
    operator = subprocess.Popen(run, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not _is_ready(environment["PORT"]):
            if operator.poll() is not None or time.monotonic() - begin > 60:
                raise RuntimeError("the operator does not get ready")
            time.sleep(0.01)
        took = time.monotonic() - begin
    finally:
        operator.kill()
        operator.wait()
    return _cpu_since(before), took


def _cpu_since(before: resource.struct_rusage) -> float:
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _is_ready(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }


class EmptyApiServer:
    """A fake of an API server: it has our kinds and no objects, and accepts every Lease."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self.address = self._loop.run_until_complete(self._begin())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _begin(self) -> str:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path in KINDS:
            return web.json_response(_discovery(path))
        if path == "/api":
            return web.json_response({"versions": ["v1"]})
        if path == "/apis":
            groups = [_group(place) for place in KINDS if place.startswith("/apis/")]
            return web.json_response({"groups": groups})
        if "/leases" in path:
            if request.method == "GET":
                return web.json_response({"kind": "Status", "code": 404}, status=404)
            return web.json_response(await request.json())
        if "watch" in request.query:
            await asyncio.sleep(60)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})


def _discovery(path: str) -> dict[str, Any]:
    resources = [
        {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": VERBS}
        for plural, kind in KINDS[path].items()
    ]
    return {"kind": "APIResourceList", "groupVersion": path, "resources": resources}


def _group(path: str) -> dict[str, Any]:
    _, _, name, version = path.split("/")
    versions = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [versions], "preferredVersion": versions}


if __name__ == "__main__":
    main(sys.argv[1:])
