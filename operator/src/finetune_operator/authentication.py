# SPDX-License-Identifier: Apache-2.0
"""Who posts progress: the pod that a token is bound to, and whether it may speak for a job."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from finetune_contract.mounts import progress_audience
from finetune_operator.kube_api import KubeApi
from finetune_operator.manifest import Body
from finetune_operator.naming import LABEL_ATTEMPT, TOKEN_REVIEWS
from finetune_operator.observation import Children, controller_uid

VALID_FOR = timedelta(seconds=60)
"""How long a token that was good is taken for good: trainers report every few seconds."""
INVALID_FOR = timedelta(seconds=10)
MAX_REMEMBERED = 10_000

_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPod:
    """The pod that a projected token was made for."""

    namespace: str
    name: str
    uid: str


class TokenChecker:
    """Asks the API server about tokens, and remembers its answers for a while."""

    def __init__(self, api: KubeApi, monotonic: Callable[[], float]) -> None:
        self._api = api
        self._monotonic = monotonic
        self._answers: OrderedDict[str, tuple[float, BoundPod | None]] = OrderedDict()

    async def find_pod(self, token: str, job: Body) -> BoundPod | None:
        """The pod that this token is bound to, if it is good for progress of this job."""
        metadata = job["metadata"]
        audience = progress_audience(metadata["namespace"], metadata["name"], metadata["uid"])
        # The hash, so that no token stays in memory.
        asked = hashlib.sha256(f"{audience}\n{token}".encode()).hexdigest()
        known = self._answers.get(asked)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        pod = await self._review(token, audience)
        valid_for = INVALID_FOR if pod is None else VALID_FOR
        self._answers[asked] = (self._monotonic() + valid_for.total_seconds(), pod)
        self._answers.move_to_end(asked)
        if len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)
        return pod

    async def _review(self, token: str, audience: str) -> BoundPod | None:
        review = await self._api.create(
            TOKEN_REVIEWS,
            {
                "apiVersion": TOKEN_REVIEWS.api_version,
                "kind": "TokenReview",
                "metadata": {},
                "spec": {"token": token, "audiences": [audience]},
            },
        )
        return parse_review(review.get("status", {}), audience)


def parse_review(status: Body, audience: str) -> BoundPod | None:
    """The pod of a token that is authentic and was made for this audience."""
    if not status.get("authenticated") or audience not in status.get("audiences", ()):
        return None
    user = status.get("user", {})
    extra = user.get("extra", {})
    match user.get("username", "").split(":"), extra.get(_POD_NAME), extra.get(_POD_UID):
        case ["system", "serviceaccount", namespace, _], [name], [uid]:
            return BoundPod(namespace=namespace, name=name, uid=uid)
    return None


def find_attempt(job: Body, children: Children, bound: BoundPod) -> int | None:
    """The number of the job's current attempt if this is one of its pods, else None."""
    metadata = job["metadata"]
    own_jobs = [
        found for found in children.training_jobs if controller_uid(found) == metadata["uid"]
    ]
    current = max(own_jobs, key=_attempt_of, default=None)
    if current is None or bound.namespace != metadata["namespace"]:
        return None
    is_current = any(
        pod["metadata"]["uid"] == bound.uid
        and pod["metadata"]["name"] == bound.name
        and controller_uid(pod) == current["metadata"]["uid"]
        for pod in children.pods
    )
    return _attempt_of(current) if is_current else None


def _attempt_of(training_job: Body) -> int:
    return int(training_job["metadata"]["labels"][LABEL_ATTEMPT])
