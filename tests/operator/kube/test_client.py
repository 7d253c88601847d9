# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.errors import NotLeading
from finetune_operator.objects.names import FINETUNE_JOBS
from support.factories import a_job_body
from support.served import a_login, served

NOBODY_LISTENS = "http://127.0.0.1:1"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "nowhere", "cluster": {"server": NOBODY_LISTENS}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "current-context": "nowhere",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document))
    return str(path)


def forbid() -> None:
    raise NotLeading


def test_any_network_failure_is_an_api_error(kubeconfig: str) -> None:
    async def scene() -> None:
        api = await KubeApi.connect(kubeconfig)
        try:
            with pytest.raises(ApiError, match="Unreachable") as raised:
                await api.get(FINETUNE_JOBS, "team", "balloon")
        finally:
            await api.close()
        assert raised.value.status == 0

    asyncio.run(scene())


def test_a_fenced_api_reads_always_and_writes_only_when_allowed(kubeconfig: str) -> None:
    async def scene() -> None:
        api = await KubeApi.connect(kubeconfig)
        fenced, job = api.fenced(forbid), a_job_body()
        try:
            for write in (
                fenced.create(FINETUNE_JOBS, job),
                fenced.replace(FINETUNE_JOBS, job),
                fenced.patch_status(FINETUNE_JOBS, job, {}),
                fenced.delete(FINETUNE_JOBS, "team", "balloon", "uid", policy="Background"),
            ):
                with pytest.raises(NotLeading):
                    await write
            with pytest.raises(ApiError):
                await fenced.get(FINETUNE_JOBS, "team", "balloon")
            with pytest.raises(ApiError):
                await api.create(FINETUNE_JOBS, job)
        finally:
            await api.close()

    asyncio.run(scene())


def test_a_list_of_uids_requests_only_metadata() -> None:
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.headers["Accept"])
        token = "more" if len(asked) == 1 else ""
        items = [{"metadata": {"uid": f"uid-{len(asked)}", "managedFields": []}}]
        return web.json_response({"metadata": {"continue": token}, "items": items})

    async def scene(server: str) -> None:
        api = KubeApi(a_login(server))
        assert [it async for it in api.list_uids(FINETUNE_JOBS, "")] == ["uid-1", "uid-2"]
        assert [it async for it in api.list_all(FINETUNE_JOBS, "")]
        await api.close()

    asyncio.run(served(handle, scene))
    partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert asked[:2] == [f"{partial},application/json"] * 2
    assert asked[2:] == ["application/json"]
