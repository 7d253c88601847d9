# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
from pathlib import Path

import pytest

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.errors import NotLeading
from finetune_operator.objects.names import FINETUNE_JOBS
from support.factories import a_job_body

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


def test_no_answer_is_an_error_of_the_api_whatever_the_network_did(kubeconfig: str) -> None:
    async def scene() -> None:
        api = await KubeApi.connect(kubeconfig)
        try:
            with pytest.raises(ApiError, match="Unreachable") as raised:
                await api.get(FINETUNE_JOBS, "team", "balloon")
        finally:
            await api.close()
        assert raised.value.status == 0

    asyncio.run(scene())


def test_fenced_api_still_reads_but_writes_only_where_it_may(kubeconfig: str) -> None:
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
