# SPDX-License-Identifier: Apache-2.0
"""Writes shared by jobs and schedules, and the translation of their refusals."""

from datetime import timedelta

from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.job.observe.strays import is_stray
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.errors import Conflict, Gone, NotYet
from finetune_operator.objects.names import (
    ANNOTATION_CONTENT,
    EVENTS,
    LABEL_JOB,
    JobReason,
    Resource,
)
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.telemetry.logs import say

NAME_TAKEN_DELAY = timedelta(seconds=5)
REFUSED_DELAY = timedelta(seconds=30)


class Ownerless(NotYet):
    """A stray has the name: an object of the same job, made by the operator, without an owner."""

    def __init__(self, found: Body, taken: NotYet) -> None:
        super().__init__(str(taken), after=taken.after, reason=taken.reason)
        self.found = found


async def create_owned(api: KubeApi, resource: Resource, manifest: Manifest) -> Body:
    """Creates the object, or returns the existing one of the same owner.

    Raises:
        NotYet: it was refused, or another object has that name.
        Gone: its namespace no longer exists.
    """
    try:
        return await api.create(resource, manifest)
    except ApiError as error:
        if error.status == 404 and error.message.startswith("namespaces "):
            raise Gone from error
        if error.reason == "AlreadyExists":
            return await _find_own(api, resource, manifest)
        if not _is_refusal(error):
            raise
        # A quota is checked first, even if this very object has used it up.
        return await _find_own(api, resource, manifest, not_found=_refused(manifest, error))


async def find_or_create_owned(api: KubeApi, resource: Resource, manifest: Manifest) -> Body:
    """The same if it probably exists: it is read first.

    Raises:
        NotYet: as above.
        Gone: as above.
    """
    metadata = manifest["metadata"]
    try:
        found = await api.get(resource, metadata["namespace"], metadata["name"])
    except ApiError as error:
        if error.status != 404:
            raise
        return await create_owned(api, resource, manifest)
    return _own(manifest, found)


def is_as_made(manifest: Manifest, found: Body) -> bool:
    """Whether the existing object has the content that the operator would give it now.

    An object without a digest (an older operator's) counts as different; objects that are created
    without one are identified by name.
    """
    wanted = manifest["metadata"].get("annotations", {}).get(ANNOTATION_CONTENT)
    known = found["metadata"].get("annotations", {}).get(ANNOTATION_CONTENT)
    return wanted is None or wanted == known


def has_label_of(manifest: Manifest, found: Body) -> bool:
    """Whether both belong to one job, so that the watches report it."""
    wanted = manifest["metadata"].get("labels", {}).get(LABEL_JOB)
    return bool(found["metadata"].get("labels", {}).get(LABEL_JOB) == wanted)


def differs(manifest: Manifest) -> NotYet:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return NotYet(
        f"{kind} {name} already exists with different content: delete it, so that it can be "
        "created again",
        after=NAME_TAKEN_DELAY,
    )


async def tell_event(api: KubeApi, event: Manifest) -> None:
    """Records it once; a failure to record it stops nothing."""
    try:
        await api.create(EVENTS, event)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            say("event not recorded", event=event["reason"], error=error)


def translated(error: ApiError) -> Exception:
    """The meaning of a write error on a job or schedule for the caller."""
    match error.status:
        case 404:
            return Gone()
        case 409:
            return Conflict()
    return error


async def _find_own(
    api: KubeApi, resource: Resource, manifest: Manifest, not_found: NotYet | None = None
) -> Body:
    """The existing object of this name, if the operator created it.

    Raises:
        NotYet: another object has the name, or `not_found` if none has.
    """
    metadata = manifest["metadata"]
    try:
        found = await api.get(resource, metadata["namespace"], metadata["name"])
    except ApiError as error:
        if not_found is not None:
            # Also without permission to read it.
            raise not_found from error
        if error.status != 404:
            raise
        raise _taken(manifest) from error
    return _own(manifest, found)


def _own(manifest: Manifest, found: Body) -> Body:
    """
    Raises:
        NotYet: the object has another owner, or is being deleted; `Ownerless` for a stray.
    """
    is_going = "deletionTimestamp" in found["metadata"]
    if not is_going and is_stray(found) and has_label_of(manifest, found):
        raise Ownerless(found, _taken(manifest))
    if controller_uid(found) != controller_uid(manifest) or is_going:
        raise _taken(manifest)
    return found


def _taken(manifest: Manifest) -> NotYet:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    return NotYet(
        f"{kind} {name} already exists and has another owner: waiting until it is deleted",
        after=NAME_TAKEN_DELAY,
    )


def _is_refusal(error: ApiError) -> bool:
    """A quota, a policy or a missing permission, which the operator cannot fix. Webhooks may return
    any 4xx.
    """
    if error.status == 500:
        return "failed calling webhook" in error.message
    return 400 <= error.status < 500 and error.status not in _PASSING


_PASSING = (401, 404, 409, 429)
"""A rotated token, a namespace that is being deleted, another write, too many requests."""


def _refused(manifest: Manifest, error: ApiError) -> NotYet:
    """Shown to the user in the server's own words."""
    return NotYet(
        f"creating {manifest['kind']} {manifest['metadata']['name']} was refused: {error.message}",
        after=REFUSED_DELAY,
        reason=JobReason.CREATE_REFUSED,
    )
