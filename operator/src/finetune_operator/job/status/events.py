# SPDX-License-Identifier: Apache-2.0
"""Events at a job's turning points, as `kubectl describe` shows them. No I/O here."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from finetune_operator.job.status.unsaved import CONDITION
from finetune_operator.objects import conditions
from finetune_operator.objects.events import TurningPoint, build_event
from finetune_operator.objects.names import KIND, JobReason, Phase
from finetune_operator.objects.raw import Body, Manifest


def find_turning_points(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[TurningPoint, ...]:
    """The changes between two states of a status that deserve an Event."""
    found = (rule(before, after) for rule in _RULES)
    return tuple(point for point in found if point is not None)


def _when_rejected(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    """Also while an attempt waits for an edit, and if the API server refused an object."""
    ready = conditions.require(after["conditions"], "Ready")
    was_ready = conditions.find(before.get("conditions", ()), "Ready") or {}
    is_refused = ready["reason"] in (JobReason.INVALID_SPEC, JobReason.CREATE_REFUSED)
    if not is_refused or _gist(was_ready.get("message", "")) == _gist(ready["message"]):
        return None
    return TurningPoint(is_warning=True, reason=ready["reason"], message=ready["message"])


def _gist(message: str) -> str:
    """The message without its figures: the used part of a quota changes all the time."""
    return re.sub(r"\d+", "", message)


def _when_warned(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    accepted = conditions.find(after["conditions"], "Accepted") or {}
    was_accepted = conditions.find(before.get("conditions", ()), "Accepted") or {}
    message = accepted.get("message", "")
    is_warned = accepted.get("status") == "True" and "warning: " in message
    if not is_warned or was_accepted.get("message") == message:
        return None
    return TurningPoint(is_warning=True, reason=JobReason.SPEC_ACCEPTED, message=message)


def _when_stopped(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    """Reported when the reason is recorded; the phase reports later that the attempt has ended."""
    known = {record["number"] for record in before.get("attempts", ()) if record.get("stopping")}
    newest = (after.get("attempts") or [{}])[-1]
    if not newest.get("stopping") or newest["number"] in known:
        return None
    message = f"stopping attempt {newest['number']} after a checkpoint: {newest.get('message', '')}"
    return TurningPoint(reason=JobReason.STOPPING, message=message)


def _when_interrupted(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    """Also when its pod is replaced within the attempt and nothing else changes."""
    newest, earlier = _newest_interruption(after), _newest_interruption(before)
    if newest is None or newest == earlier:
        return None
    number, found = newest
    where = f" on node {found['node']}" if "node" in found else ""
    what = f"pod {found['pod']}{where}" if "pod" in found else "its Job"
    words = ": ".join(filter(None, (found["reason"], found.get("message"))))
    message = f"attempt {number}: {what} was interrupted by {words}"
    return TurningPoint(is_warning=True, reason=JobReason.INTERRUPTED, message=message)


def _newest_interruption(status: Mapping[str, Any]) -> tuple[int, Body] | None:
    """The newest interruption, with the number of its attempt."""
    for record in reversed(status.get("attempts", ())):
        for found in reversed(record.get("interruptions", ())):
            return record["number"], found
    return None


def _when_resumed(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    if before.get("phase") != Phase.SUSPENDED or after["phase"] == Phase.SUSPENDED:
        return None
    return TurningPoint(reason=JobReason.RESUMED, message="the job is no longer suspended")


def _when_started(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    if after.get("attempt") == before.get("attempt") or "attempts" not in after:
        return None
    message = _tell_start(after["attempts"])
    return TurningPoint(reason=JobReason.ATTEMPT_STARTED, message=message)


def _when_admitted(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    is_of_same = after.get("attempt") == before.get("attempt")
    if before.get("phase") != Phase.QUEUED or after["phase"] not in _UNDER_WAY or not is_of_same:
        return None
    return TurningPoint(reason=JobReason.ADMITTED, message="the queue admitted the job")


def _when_unsaved(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    unsaved = conditions.find(after["conditions"], CONDITION)
    if unsaved is None or conditions.find(before.get("conditions", ()), CONDITION) is not None:
        return None
    return TurningPoint(is_warning=True, reason=unsaved["reason"], message=unsaved["message"])


def _when_phase_changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> TurningPoint | None:
    phase, ready = after["phase"], conditions.require(after["conditions"], "Ready")
    if phase == before.get("phase") or phase not in _TOLD_PHASES:
        return None
    reason = _TOLD_PHASES[phase] or ready["reason"]
    is_warning = phase in (Phase.RETRYING, Phase.FAILED)
    return TurningPoint(is_warning=is_warning, reason=reason, message=ready["message"])


_UNDER_WAY = frozenset({Phase.STARTING, Phase.RUNNING, Phase.PUBLISHING})

_TOLD_PHASES: Mapping[str, str | None] = {
    Phase.QUEUED: None,
    Phase.SUSPENDED: None,
    Phase.RETRYING: JobReason.RETRYING,
    Phase.SUCCEEDED: None,
    Phase.FAILED: None,
}
"""The reasons of their Events; None to use the condition's reason."""

_RULES = (
    _when_rejected,
    _when_warned,
    _when_stopped,
    _when_interrupted,
    _when_resumed,
    _when_started,
    _when_admitted,
    _when_unsaved,
    _when_phase_changed,
)


def _tell_start(attempts: Sequence[Body]) -> str:
    """Also why there is another attempt: an interrupted attempt is followed without a pause."""
    *earlier, newest = attempts
    started = f"created Job {newest['name']} for attempt {newest['number']}"
    if not earlier:
        return started
    last = earlier[-1]
    return f"{started}; attempt {last['number']}: {last['result']} ({last.get('message', '')})"


def build_job_event(
    body: Body, point: TurningPoint, status: Mapping[str, Any], now: datetime
) -> Manifest:
    """The Event for a turning point; a repeated report has the same name, so only one remains.

    `status` is the one that contains the turning point: a queue may admit and evict the same
    attempt more than once.
    """
    newest: Mapping[str, Any] = next(iter(status.get("attempts", ())[-1:]), {})
    occasion = (
        str(body["metadata"]["generation"]),
        str(status.get("attempt")),
        str(newest.get("admittedTime")),
        point.reason,
        _distinguishing(point),
    )
    return build_event(body, KIND, point, now, *occasion)


def _distinguishing(point: TurningPoint) -> str:
    """The API server may refuse the same object for several reasons, and several pods of one
    attempt may be interrupted.
    """
    if point.reason == JobReason.CREATE_REFUSED:
        return _gist(point.message)
    return point.message if point.reason == JobReason.INTERRUPTED else ""
