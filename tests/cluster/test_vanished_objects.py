# SPDX-License-Identifier: Apache-2.0
"""The relist with a real API server: objects exist as long as their uids are in its lists."""

import asyncio
import json

import pytest

from cluster.jobs import a_job, unreviewed
from finetune_operator.kube.cache import ObjectCache
from finetune_operator.kube.client import KubeApi
from finetune_operator.kube.pages import FIRST_PAGE
from finetune_operator.kube.relist import fill_cache, forget_vanished
from finetune_operator.objects.names import JobKey
from testbed.control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


def test_only_a_deleted_job_vanishes_from_lists_of_several_pages(
    plane: ControlPlane, team: str
) -> None:
    jobs = [unreviewed(a_job(f"job-{number}")) for number in range(2 * FIRST_PAGE)]
    jobs[0]["metadata"]["annotations"] = {"note": '"uid":"forged","items":[]}'}
    made = json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs})
    plane.kubectl("create", "--namespace", team, "-f", "-", input=made)

    async def scene() -> None:
        api, cache = await KubeApi.connect(str(plane.kubeconfig)), ObjectCache()
        try:
            await fill_cache(api, cache, [team])
            assert len(cache.known_keys()) == len(jobs)
            assert await forget_vanished(api, cache, [team]) == set()

            plane.kubectl("delete", "--namespace", team, "finetunejob", "job-7")

            vanished = {JobKey(namespace=team, label="job-7")}
            assert await forget_vanished(api, cache, [team]) == vanished
        finally:
            await api.close()

    asyncio.run(scene())
