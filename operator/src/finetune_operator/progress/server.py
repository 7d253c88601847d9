# SPDX-License-Identifier: Apache-2.0
"""The HTTP endpoint of a replica: trainers post progress, the kubelet checks health."""

import asyncio
from collections import Counter
from collections.abc import Callable

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import MAX_PROGRESS_BYTES
from finetune_contract.progress import Progress
from finetune_operator.kube.cache import ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.objects.names import FINETUNE_JOBS, JobKey, job_key
from finetune_operator.progress.authentication import Speaker, TokenChecker, find_speaker
from finetune_operator.progress.writer import ProgressWriter
from finetune_operator.telemetry.metrics import count_report

RETRY_AFTER_SECONDS = 10
BODY_TIMEOUT_SECONDS = 5.0
MOST_POSTS_OF_A_PEER = 16
"""Concurrent posts, each of which may have the API server review a token. A pod sends one after
another; some networks show all pods of a node under one address.
"""
PROGRESS_PATH = f"{FINETUNE_JOBS.path('{namespace}', '{name}')}/progress"


class ProgressServer:
    """Refuses with one sentence, which the trainer's log shows to its user."""

    def __init__(self, cache: ObjectCache, checker: TokenChecker, writer: ProgressWriter) -> None:
        self._cache = cache
        self._checker = checker
        self._writer = writer
        self._posts_of: Counter[str] = Counter()

    async def post_progress(self, request: web.Request) -> web.Response:
        peer = request.remote or ""
        if self._posts_of[peer] >= MOST_POSTS_OF_A_PEER:
            answer = _later("this address has reached its limit of concurrent reports", 429)
        else:
            self._posts_of[peer] += 1
            try:
                answer = await self._answer(request)
            finally:
                self._posts_of[peer] -= 1
                # Drops entries of peers without posts.
                self._posts_of += Counter()
        count_report(answer.status)
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        token = _bearer_token(request.headers.get("Authorization", ""))
        if token is None:
            return _refusal(401, "the request has no bearer token")
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        key = JobKey(namespace=namespace, label=job_key(name))
        job = self._cache.find_job(key)
        if job is None or job["metadata"]["name"] != name:
            return _refusal(404, f"there is no FineTuneJob {name} in namespace {namespace}")
        try:
            bearer = await self._checker.find_bearer(token, job)
        except ApiError:
            return _later("the API server could not review the token")
        if bearer is None:
            return _refusal(401, f"the token is not valid for progress of FineTuneJob {name}")
        speaker = find_speaker(job, self._cache.children_of(key), bearer)
        if speaker is None:
            return _refusal(
                403, f"the token does not belong to a pod of the current attempt of {name}"
            )
        if speaker.attempt != speaker.current:
            return _refusal(403, _of_earlier_attempt(name, speaker))
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                body = await request.read()
        except TimeoutError:
            return _refusal(408, f"the body did not arrive within {BODY_TIMEOUT_SECONDS:g} s")
        try:
            progress = Progress.from_body(body)
        except InvalidDocument as invalid:
            return _refusal(400, str(invalid))
        self._writer.report(key, speaker.attempt, progress)
        return web.json_response({})


def build_app(
    server: ProgressServer, *, is_healthy: Callable[[], bool], is_ready: Callable[[], bool]
) -> web.Application:
    async def get_health(request: web.Request) -> web.Response:
        return web.Response(status=200 if is_healthy() else 503)

    async def get_readiness(request: web.Request) -> web.Response:
        return web.Response(status=200 if is_ready() else 503)

    app = web.Application(client_max_size=MAX_PROGRESS_BYTES)
    app.router.add_post(PROGRESS_PATH, server.post_progress)
    app.router.add_get("/healthz", get_health)
    app.router.add_get("/readyz", get_readiness)
    app.router.add_get("/metrics", make_aiohttp_handler())
    return app


def _bearer_token(header: str) -> str | None:
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _later(message: str, status: int = 503) -> web.Response:
    answer = _refusal(status, message)
    answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _of_earlier_attempt(name: str, speaker: Speaker) -> str:
    return (
        f"the token belongs to a pod of attempt {speaker.attempt} of FineTuneJob {name}, which "
        f"is now at attempt {speaker.current}"
    )


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
