# SPDX-License-Identifier: Apache-2.0
"""A name from a status or a review becomes part of a request: it never leads to another object."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.kube.cache import ObjectCache
from finetune_operator.kube.client import KubeApi
from finetune_operator.kube.schedules import KubeSchedules
from finetune_operator.objects.names import TRAINING_JOBS
from support.factories import a_job_body
from support.served import a_login, served

NAMES = (
    "../../other/jobs/victim",
    "..",
    ".",
    "",
    "victim?dryRun=All",
    "victim#",
    "victim/status",
    "%2e%2e",
    "victim%2fstatus",
    "victim\\..",
    "Victim",
    "a" * 254,
    "victim\n",
    "\u0661",
)


def requested_by(scene: Callable[[KubeApi], Awaitable[Any]]) -> list[str]:
    """The paths of the requests that reached the API server."""
    paths: list[str] = []

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.raw_path)
        return web.json_response({"code": 404}, status=404)

    async def play(server: str) -> None:
        api = KubeApi(a_login(server))
        try:
            await scene(api)
        finally:
            await api.close()

    asyncio.run(served(note, play))
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_no_request_is_sent_for_a_name_that_no_object_has(name: str) -> None:
    async def scene(api: KubeApi) -> None:
        body = {"metadata": {"namespace": "team", "name": name, "uid": "1", "resourceVersion": "1"}}
        for ask in (
            lambda: api.get(TRAINING_JOBS, "team", name),
            lambda: api.get(TRAINING_JOBS, name, "balloon"),
            lambda: api.delete(TRAINING_JOBS, "team", name, "1", policy="Background"),
            lambda: api.patch_status(TRAINING_JOBS, body, {}),
            lambda: api.replace(TRAINING_JOBS, body),
        ):
            with pytest.raises(ValueError, match="is not the name of an object"):
                await ask()

    assert requested_by(scene) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_schedules_edited_status_leads_to_no_other_object(name: str) -> None:
    async def scene(api: KubeApi) -> None:
        active = {"apiVersion": "v1", "kind": "FineTuneJob", "name": name, "uid": "unknown"}
        body = a_job_body(status={"active": [active, {**active, "name": "nightly-1"}]})
        jobs = await KubeSchedules(api, ObjectCache()).jobs_of(body)
        assert jobs == ()

    (path,) = requested_by(scene)
    assert path.endswith("/namespaces/team/finetunejobs/nightly-1")
