# SPDX-License-Identifier: Apache-2.0
"""The real Job controller's treatment of a Job that a queue preempts, like Kueue.

There is no node: the test writes the kubelet's status of the pod.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.installation import reasons_for_none
from cluster.jobs import until
from finetune_operator.job.manifests import build_attempt
from support.factories import SETTINGS, a_job
from testbed.control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    if reasons := reasons_for_none():
        pytest.skip(" ".join(reasons))
    with ControlPlane.up() as plane:
        plane.kubectl("create", "namespace", "team")
        yield plane


def get(plane: ControlPlane, *what: str) -> Any:
    return json.loads(plane.kubectl("-n", "team", "get", *what, "-o", "json"))


def patch(plane: ControlPlane, what: str, change: dict[str, Any], *flags: str) -> None:
    plane.kubectl("-n", "team", "patch", what, "--type=merge", "-p", json.dumps(change), *flags)


def wait_for(plane: ControlPlane, holds: Any, *what: str) -> Any:
    for _ in until(60):
        found = get(plane, *what)
        if holds(found):
            return found
    raise AssertionError(json.dumps(found, indent=1))


def preempt(plane: ControlPlane, name: str, exit_code: int) -> str:
    """Suspends a running Job; its pod, whose name is returned, ends with this code and still
    exists.
    """
    manifest = build_attempt(a_job(name), 1, SETTINGS)[-1]
    del manifest["metadata"]["ownerReferences"]
    # A reason for a kubelet to keep an ended pod.
    manifest["spec"]["template"]["metadata"]["finalizers"] = ["example.com/kubelet"]
    plane.kubectl("-n", "team", "create", "-f", "-", input=json.dumps(manifest))
    of_job = ("pods", "-l", f"finetune.dev/job={name}")
    pods = wait_for(plane, lambda found: len(found["items"]) == 1, *of_job)
    pod = str(pods["items"][0]["metadata"]["name"])
    patch(plane, f"job/{name}-1", {"spec": {"suspend": True}})
    wait_for(plane, lambda found: "deletionTimestamp" in found["metadata"], "pod", pod)
    terminated = {
        "name": "trainer",
        "image": "trainer:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": {"exitCode": exit_code}},
    }
    ended = {"status": {"phase": "Failed", "containerStatuses": [terminated]}}
    patch(plane, f"pod/{pod}", ended, "--subresource=status")
    return pod


def test_a_preempted_job_that_saved_resumes_with_another_pod(plane: ControlPlane) -> None:
    pod = preempt(plane, "saved", exit_code=143)

    wait_for(plane, lambda found: is_(found, "Suspended"), "job", "saved-1")
    patch(plane, "job/saved-1", {"spec": {"suspend": False}})
    pods = wait_for(
        plane,
        lambda found: any(it["metadata"]["name"] != pod for it in found["items"]),
        *("pods", "-l", "finetune.dev/job=saved"),
    )

    assert len(pods["items"]) == 2
    assert not is_(get(plane, "job", "saved-1"), "Failed")


def test_a_preempted_job_that_failed_while_ending_is_failed(plane: ControlPlane) -> None:
    pod = preempt(plane, "failed", exit_code=64)

    wait_for(plane, lambda found: is_(found, "FailureTarget"), "job", "failed-1")
    patch(plane, f"pod/{pod}", {"metadata": {"finalizers": None}})
    wait_for(plane, lambda found: is_(found, "Failed"), "job", "failed-1")


def is_(job: Any, condition: str) -> bool:
    found = job.get("status", {}).get("conditions", [])
    return any(it["type"] == condition and it["status"] == "True" for it in found)
