# SPDX-License-Identifier: Apache-2.0
"""A peer that has tokens reviewed does not delay the Lease: a complete replica with a stub."""

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from aiohttp import ClientSession, web

from finetune_operator.progress.server import PROGRESS_PATH
from finetune_operator.runtime.replica import Replica
from support.factories import SETTINGS, a_job_body
from support.served import served

POSTS = 300
"""More than a client has connections, and more than the concurrent reviews."""


NOT_FOUND = partial(web.json_response, {"reason": "NotFound", "message": "not here"}, status=404)


class StubApi:
    """A fake API server: it has one job and one Lease, and ends no review."""

    def __init__(self) -> None:
        self.lease: dict[str, object] | None = None
        self.lease_peers: set[object] = set()
        self.other_peers: set[object] = set()
        self.renewed = asyncio.Event()
        self.over = asyncio.Event()
        self.reviewing = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        peers = self.lease_peers if "/leases" in request.path else self.other_peers
        peers.add(request.transport and request.transport.get_extra_info("peername"))
        if request.path.endswith("/tokenreviews"):
            self.reviewing.set()
            await self.over.wait()
            return NOT_FOUND()
        if "/leases" in request.path:
            if request.method != "GET":
                self.lease = await request.json()
                self.lease["metadata"]["resourceVersion"] = "1"  # type: ignore[index]
                self.renewed.set()
            return NOT_FOUND() if self.lease is None else web.json_response(self.lease)
        if request.path.endswith("/namespaces/kube-system"):
            return web.json_response({"metadata": {"uid": "uid-of-cluster"}})
        if request.path.endswith("/finetunejobs"):
            return web.json_response({"metadata": {}, "items": [a_job_body()]})
        if request.path.endswith("/namespaces/kube-system"):
            return web.json_response({"metadata": {"uid": "5f0c"}})
        if request.method == "GET" and not request.path.endswith("balloon"):
            return web.json_response({"metadata": {}, "items": []})
        return NOT_FOUND()


def test_a_lease_is_renewed_while_all_token_reviews_hang(tmp_path: Path) -> None:
    async def scene() -> None:
        api = StubApi()

        async def against(url: str) -> None:
            settings = replace(
                SETTINGS, kubeconfig=kubeconfig_of(tmp_path, url), port=0, webhook_port=None
            )
            replica = Replica(settings)
            await asyncio.wait_for(replica.start(), 60)
            async with ClientSession() as session:
                path = PROGRESS_PATH.format(namespace="team", name="balloon")
                where = f"http://127.0.0.1:{replica._server.port}{path}"
                posts = [asyncio.create_task(post(session, where, it)) for it in range(POSTS)]
                await asyncio.wait_for(api.reviewing.wait(), 60)
                for _ in range(2):
                    api.renewed.clear()
                    await asyncio.wait_for(api.renewed.wait(), 60)
                assert api.lease_peers.isdisjoint(api.other_peers)
                assert not any(it.done() and it.result() == 200 for it in posts)
                api.over.set()
                await asyncio.gather(*posts, return_exceptions=True)
            await replica.stop()

        await served(api.handle, against)

    asyncio.run(scene())


async def post(session: ClientSession, url: str, number: int) -> int:
    headers = {"Authorization": f"Bearer made-up-{number}"}
    async with session.post(url, data=b"{}", headers=headers) as answer:
        return answer.status


def kubeconfig_of(folder: Path, url: str) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stub", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "nobody"}}],
        "current-context": "stub",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return str(path)
