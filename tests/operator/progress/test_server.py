# SPDX-License-Identifier: Apache-2.0
"""The endpoint over real HTTP on 127.0.0.1, with fake verdicts of the API server."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from finetune_contract.limits import MAX_PROGRESS_BYTES
from finetune_contract.progress import Progress
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.objects.names import JobKey
from finetune_operator.progress import server as server_module
from finetune_operator.progress.authentication import TokenChecker
from finetune_operator.progress.server import ProgressServer, build_app
from finetune_operator.progress.writer import ProgressWriter
from support.factories import NOW, a_job_body, a_pod, a_training_job
from support.fake_api import FakeApi

PATH = "/apis/finetune.dev/v1alpha1/namespaces/team/finetunejobs/{}/progress"
OURS = Progress(step=3, total_steps=10).to_body()
STOCK = (
    b'{"trainerStatus": {"progressPercentage": 30, "metrics": [{"name": "loss", "value": "1"}]}}'
)


class RecordingWriter(ProgressWriter):
    def __init__(self, api: FakeApi, cache: ObjectCache) -> None:
        super().__init__(api, cache, timedelta(seconds=10), lambda: NOW)
        self.heard: list[tuple[JobKey, int, Progress]] = []

    def report(self, key: JobKey, attempt: int, progress: Progress) -> None:
        self.heard.append((key, attempt, progress))


def review(request: Any) -> Any:
    """The tokens: `good`, `foreign` (right audience, other pod), anything else."""
    token, audiences = request["spec"]["token"], request["spec"]["audiences"]
    uid = {"good": "uid-of-balloon-1-abcde", "foreign": "uid-of-another"}.get(token)
    extra = {
        "authentication.kubernetes.io/pod-name": ["balloon-1-abcde"],
        "authentication.kubernetes.io/pod-uid": [uid],
    }
    user = {"username": "system:serviceaccount:team:default", "extra": extra}
    return {"status": {"authenticated": uid is not None, "audiences": audiences, "user": user}}


def ask(
    method: str,
    path: str,
    *,
    token: str | None = "good",  # noqa: S107 - made up
    body: bytes = OURS,
    is_healthy: bool = True,
    is_ready: bool = True,
    attempts: int = 1,
) -> tuple[int, str, list[tuple[JobKey, int, Progress]]]:
    """Status, text, and the calls of the writer."""
    api, cache = FakeApi(), ObjectCache()
    api.review = review
    cache.remember(Kind.JOB, a_job_body())
    for attempt in range(1, attempts + 1):
        cache.remember(Kind.TRAINING_JOB, a_training_job(attempt))
    cache.remember(Kind.POD, a_pod())
    writer = RecordingWriter(api, cache)
    server = ProgressServer(cache, TokenChecker(api, lambda: 0.0), writer)
    app = build_app(server, is_healthy=lambda: is_healthy, is_ready=lambda: is_ready)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def scene() -> tuple[int, str]:
        async with TestClient(TestServer(app)) as client:
            answer = await client.request(method, path, data=body, headers=headers)
            return answer.status, await answer.text()

    status, text = asyncio.run(scene())
    return status, text, writer.heard


def test_a_report_of_the_jobs_pod_is_accepted() -> None:
    status, text, heard = ask("POST", PATH.format("balloon"))

    assert (status, text) == (200, "{}")
    assert heard == [(JobKey(namespace="team", label="balloon"), 1, Progress.from_body(OURS))]


def test_the_body_of_the_stock_callback_is_accepted() -> None:
    status, _, heard = ask("POST", PATH.format("balloon"), body=STOCK)

    assert status == 200
    assert heard[0][2].loss == 1


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        pytest.param({"token": None}, 401, "no bearer token", id="no token"),
        pytest.param({"token": "forged"}, 401, "not valid", id="forged, expired, other audience"),
        pytest.param({"token": "foreign"}, 403, "does not belong to a pod", id="another pod's"),
        pytest.param({"body": b"not json"}, 400, "not JSON", id="no JSON"),
        pytest.param({"body": b'{"progress": {"phase": 1}}'}, 400, "phase", id="mistyped"),
        pytest.param({"body": b" " * (MAX_PROGRESS_BYTES + 1)}, 413, "", id="too large"),
    ],
)
def test_an_invalid_request_is_refused_with_its_reason(
    given: dict[str, Any], status: int, words: str
) -> None:
    answered, text, heard = ask("POST", PATH.format("balloon"), **given)

    assert answered == status
    assert words in text
    assert heard == []


def test_a_pod_of_an_earlier_attempt_is_refused_with_its_attempt() -> None:
    status, text, heard = ask("POST", PATH.format("balloon"), attempts=2)

    assert status == 403
    assert json.loads(text)["message"] == (
        "the token belongs to a pod of attempt 1 of FineTuneJob balloon, which is now at attempt 2"
    )
    assert heard == []


def test_an_unknown_job_is_not_found() -> None:
    assert ask("POST", PATH.format("other"))[0] == 404


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError(0, "Unreachable", "POST: timeout"), id="API server away"),
        pytest.param(ApiError(403, "Forbidden", "cannot create tokenreviews"), id="rights revoked"),
    ],
)
def test_a_report_that_cannot_be_authenticated_now_may_be_retried(
    error: ApiError, caplog: pytest.LogCaptureFixture
) -> None:
    api, cache = FakeApi(), ObjectCache()
    cache.remember(Kind.JOB, a_job_body())
    cache.remember(Kind.TRAINING_JOB, a_training_job())
    cache.remember(Kind.POD, a_pod())
    writer = RecordingWriter(api, cache)
    server = ProgressServer(cache, TokenChecker(api, lambda: 0.0), writer)
    app = build_app(server, is_healthy=lambda: True, is_ready=lambda: True)
    api.review, api.fail_with = review, error
    caplog.set_level("INFO")

    async def scene() -> None:
        headers = {"Authorization": "Bearer good"}
        async with TestClient(TestServer(app)) as client:
            for _ in range(2):
                answer = await client.post(PATH.format("balloon"), data=OURS, headers=headers)
                assert answer.status == 503
                assert answer.headers["Retry-After"] == "10"
                assert "could not review the token" in (await answer.json())["message"]
            api.fail_with = None
            answer = await client.post(PATH.format("balloon"), data=OURS, headers=headers)
            assert answer.status == 200

    asyncio.run(scene())
    assert len(writer.heard) == 1
    told = [record for record in caplog.records if record.name == "finetune_operator"]
    assert [record.getMessage() for record in told] == [
        "tokens not reviewed",
        "tokens reviewed again",
    ]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    ("path", "state", "status"),
    [
        pytest.param("/healthz", {"is_healthy": True}, 200, id="alive"),
        pytest.param("/healthz", {"is_healthy": False}, 503, id="stuck"),
        pytest.param("/readyz", {"is_ready": True}, 200, id="warm"),
        pytest.param("/readyz", {"is_ready": False}, 503, id="still listing"),
    ],
)
def test_health_checks_reflect_the_state_of_the_replica(
    path: str, state: dict[str, bool], status: int
) -> None:
    assert ask("GET", path, **state)[0] == status


def an_app() -> web.Application:
    api, cache = FakeApi(), ObjectCache()
    api.review = review
    cache.remember(Kind.JOB, a_job_body())
    cache.remember(Kind.TRAINING_JOB, a_training_job())
    cache.remember(Kind.POD, a_pod())
    checker = TokenChecker(api, lambda: 0.0)
    server = ProgressServer(cache, checker, RecordingWriter(api, cache))
    return build_app(server, is_healthy=lambda: True, is_ready=lambda: True)


HALF = (
    f"POST {PATH.format('balloon')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"
    "Content-Length: 1000\r\n\r\n{"
).encode()


def test_a_report_that_is_never_completed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_SECONDS", 0.05)

    async def scene() -> None:
        async with TestServer(an_app()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(HALF)
            assert b"408" in await reader.readline()
            writer.close()

    asyncio.run(scene())


def test_an_address_with_too_many_open_reports_must_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_SECONDS", 3600.0)

    async def scene() -> None:
        async with TestServer(an_app()) as server:
            opened = [
                await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
                for _ in range(server_module.MOST_POSTS_OF_A_PEER + 1)
            ]
            for _, writer in opened:
                writer.write(HALF)
            told = [asyncio.ensure_future(reader.readline()) for reader, _ in opened]
            done, waiting = await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)

            assert [b"429" in task.result() for task in done] == [True]
            async with TestClient(server) as client:
                headers = {"Authorization": "Bearer good"}
                answer = await client.post(PATH.format("balloon"), data=OURS, headers=headers)
                assert answer.status == 200, "another address is heard"
                # Before the server is stopped, which would wait for them.
                for _, writer in opened:
                    writer.transport.abort()
            for task in waiting:
                task.cancel()

    asyncio.run(scene())
