# SPDX-License-Identifier: Apache-2.0
"""Authenticates posts of progress: the pod that a token is bound to, and whether it belongs to a
job.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from finetune_contract.mounts import progress_audience
from finetune_operator.job.observe.observation import Children
from finetune_operator.job.observe.pods import attempt_number, controller_uid
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.names import TOKEN_REVIEWS
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry.logs import say

VALID_FOR = timedelta(seconds=60)
"""How long a valid token is cached: trainers report every few seconds."""
INVALID_FOR = timedelta(seconds=10)
MAX_REMEMBERED = 10_000
MOST_REVIEWS = 32
"""Concurrent reviews: forged tokens cost the API server too."""

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """The holder of an authentic token: a service account and, if projected, its pod."""

    namespace: str
    pod_name: str | None
    pod_uid: str | None


class TokenChecker:
    """Reviews tokens at the API server, and caches the results for a while."""

    def __init__(self, api: KubeApi, monotonic: Callable[[], float]) -> None:
        self._api = api
        self._monotonic = monotonic
        self._answers: OrderedDict[str, tuple[float, Bearer | None]] = OrderedDict()
        self._is_answered = True
        self._reviews = asyncio.Semaphore(MOST_REVIEWS)

    async def find_bearer(self, token: str, job: Body) -> Bearer | None:
        """The holder of this token, if it is authentic and was issued for progress of this job.

        Raises:
            ApiError: the API server is unreachable, or reviews are not allowed (any more).
        """
        metadata = job["metadata"]
        audience = progress_audience(metadata["namespace"], metadata["name"], metadata["uid"])
        # The hash, so that no token stays in memory.
        asked = hashlib.sha256(f"{audience}\n{token}".encode()).hexdigest()
        known = self._answers.get(asked)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        try:
            bearer = await self._review(token, audience)
        except ApiError as error:
            self._note(error)
            raise
        self._note(None)
        valid_for = INVALID_FOR if bearer is None else VALID_FOR
        self._answers[asked] = (self._monotonic() + valid_for.total_seconds(), bearer)
        self._answers.move_to_end(asked)
        if len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)
        return bearer

    def _note(self, error: ApiError | None) -> None:
        """Logs one line when reviews begin to fail and one when they work again, for any number of
        posts.
        """
        if self._is_answered and error is not None:
            say("tokens not reviewed", level=logging.WARNING, error=error)
        elif not self._is_answered and error is None:
            say("tokens reviewed again")
        self._is_answered = error is None

    async def _review(self, token: str, audience: str) -> Bearer | None:
        asked = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token, "audiences": [audience]},
        }
        async with self._reviews:
            review = await self._api.create(TOKEN_REVIEWS, asked)
        return parse_review(review.get("status", {}), audience)


def parse_review(status: Body, audience: str) -> Bearer | None:
    """The holder of a token that is authentic and was issued for this audience."""
    if not status.get("authenticated") or audience not in status.get("audiences", ()):
        return None
    user = status.get("user", {})
    extra = user.get("extra", {})
    match user.get("username", "").split(":"):
        case ["system", "serviceaccount", namespace, _]:
            return Bearer(
                namespace=namespace,
                pod_name=next(iter(extra.get(_POD_NAME, ())), None),
                pod_uid=next(iter(extra.get(_POD_UID, ())), None),
            )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """The attempt that the bearer is a pod of."""

    attempt: int
    current: int
    """The job's newest attempt: only its pods may report."""


def find_speaker(job: Body, children: Children, bearer: Bearer) -> Speaker | None:
    """The attempt of the bearer's pod, if the pod is one of this job's."""
    metadata = job["metadata"]
    own_jobs = [
        found for found in children.training_jobs if controller_uid(found) == metadata["uid"]
    ]
    if not own_jobs or bearer.namespace != metadata["namespace"]:
        return None
    numbers = {found["metadata"]["uid"]: attempt_number(found) for found in own_jobs}
    attempts = {uid: number for uid, number in numbers.items() if number is not None}
    for pod in children.pods:
        identity = pod["metadata"]["uid"], pod["metadata"]["name"]
        attempt = attempts.get(controller_uid(pod) or "")
        if identity == (bearer.pod_uid, bearer.pod_name) and attempt is not None:
            return Speaker(attempt=attempt, current=max(attempts.values()))
    return None
