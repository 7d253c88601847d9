# SPDX-License-Identifier: Apache-2.0
import asyncio
from typing import Any

import pytest

from finetune_operator.job.observe.observation import Children
from finetune_operator.objects.names import LABEL_ATTEMPT
from finetune_operator.progress.authentication import (
    INVALID_FOR,
    VALID_FOR,
    Bearer,
    Speaker,
    TokenChecker,
    find_speaker,
    parse_review,
)
from support.factories import a_job_body, a_pod, a_training_job
from support.fake_api import FakeApi

AUDIENCE = "finetune.dev/team/balloon/uid-of-job"
POD = Bearer(namespace="team", pod_name="balloon-1-abcde", pod_uid="uid-of-balloon-1-abcde")


def a_review(**changed: Any) -> dict[str, Any]:
    status = {
        "authenticated": True,
        "audiences": [AUDIENCE],
        "user": {
            "username": "system:serviceaccount:team:default",
            "extra": {
                "authentication.kubernetes.io/pod-name": [POD.pod_name],
                "authentication.kubernetes.io/pod-uid": [POD.pod_uid],
            },
        },
    }
    return status | changed


@pytest.mark.parametrize(
    ("status", "bearer"),
    [
        pytest.param(a_review(), POD, id="a pod's token"),
        pytest.param(a_review(authenticated=False), None, id="forged or expired"),
        pytest.param({}, None, id="no verdict"),
        pytest.param(a_review(audiences=["finetune.dev/team/other/x"]), None, id="other audience"),
        pytest.param(a_review(user={"username": "jane"}), None, id="no service account"),
        pytest.param(
            a_review(user={"username": "system:serviceaccount:team:default"}),
            Bearer(namespace="team", pod_name=None, pod_uid=None),
            id="a token of no pod",
        ),
    ],
)
def test_a_token_review_identifies_the_pod_or_nothing(
    status: dict[str, Any], bearer: Bearer | None
) -> None:
    assert parse_review(status, AUDIENCE) == bearer


@pytest.mark.parametrize(
    ("bearer", "attempt"),
    [
        pytest.param(POD, 1, id="the job's pod"),
        pytest.param(Bearer(namespace="team", pod_name=None, pod_uid=None), None, id="no pod"),
        pytest.param(
            Bearer(namespace="other", pod_name=POD.pod_name, pod_uid=POD.pod_uid),
            None,
            id="other namespace",
        ),
        pytest.param(
            Bearer(namespace="team", pod_name=POD.pod_name, pod_uid="other"),
            None,
            id="a pod that had the name before",
        ),
    ],
)
def test_only_a_pod_of_the_current_attempt_may_report_for_a_job(
    bearer: Bearer, attempt: int | None
) -> None:
    children = Children(training_jobs=[a_training_job()], pods=[a_pod()])

    expected = None if attempt is None else Speaker(attempt=attempt, current=attempt)
    assert find_speaker(a_job_body(), children, bearer) == expected


def test_a_pod_of_an_earlier_attempt_is_distinguished_from_a_current_one() -> None:
    children = Children(training_jobs=[a_training_job(1), a_training_job(2)], pods=[a_pod(1)])

    assert find_speaker(a_job_body(), children, POD) == Speaker(attempt=1, current=2)


def test_a_pod_of_a_deleted_job_with_the_same_name_may_not_report() -> None:
    children = Children(
        training_jobs=[a_training_job(owner="earlier")], pods=[a_pod(owner="earlier")]
    )

    assert find_speaker(a_job_body(), children, POD) is None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("authenticated", "valid_for"),
    [
        pytest.param(True, VALID_FOR.total_seconds(), id="good"),
        pytest.param(False, INVALID_FOR.total_seconds(), id="bad, for a shorter time"),
    ],
)
def test_token_reviews_are_cached_for_a_while(authenticated: bool, valid_for: float) -> None:
    api, clock = FakeApi(), Clock()
    api.review = lambda _: {"status": a_review(authenticated=authenticated)}
    checker = TokenChecker(api, clock)

    async def ask(token: str) -> None:
        bearer = await checker.find_bearer(token, a_job_body())
        assert bearer == (POD if authenticated else None)

    async def scene() -> None:
        await ask("t")
        clock.now += valid_for - 1
        await ask("t")
        assert len(api.calls) == 1
        await ask("another token")
        assert len(api.calls) == 2
        clock.now += 2
        await ask("t")
        assert len(api.calls) == 3

    asyncio.run(scene())


def test_a_token_accepted_for_one_job_is_reviewed_again_for_another() -> None:
    api, asked = FakeApi(), []

    def review(request: Any) -> Any:
        asked.append(request["spec"]["audiences"])
        return {"status": a_review()}

    api.review = review
    checker = TokenChecker(api, Clock())

    async def scene() -> None:
        assert await checker.find_bearer("t", a_job_body()) == POD
        assert await checker.find_bearer("t", a_job_body(name="other", uid="x")) is None

    asyncio.run(scene())
    assert asked == [[AUDIENCE], ["finetune.dev/team/other/x"]]


@pytest.mark.parametrize("label", [None, "", "x", "0", "-1", "2", "9" * 60, "\u0661", "1 ", "1e3"])
def test_an_edited_label_of_a_job_makes_its_pods_no_pods_of_an_attempt(label: str | None) -> None:
    edited = a_training_job()
    edited["metadata"]["labels"] = {} if label is None else {LABEL_ATTEMPT: label}
    children = Children(training_jobs=[edited], pods=[a_pod()])
    uid, name = a_pod()["metadata"]["uid"], a_pod()["metadata"]["name"]

    speaker = find_speaker(
        a_job_body(), children, Bearer(namespace="team", pod_name=name, pod_uid=uid)
    )

    assert speaker is None
