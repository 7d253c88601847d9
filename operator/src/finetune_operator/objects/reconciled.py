# SPDX-License-Identifier: Apache-2.0
"""The end of a pass, for jobs and schedules: one status patch, and then its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from finetune_operator.objects import conditions
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.tally import NOTHING, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The result of a pass, for the log and the work queue."""

    phase: str | None
    """None for a schedule, which has no phase."""
    reason: str
    message: str
    has_written: bool
    check_again_in: timedelta | None = None
    tally: Tally = NOTHING
    """The increments of the counters."""


class Writing(Protocol):
    """The calls to the API server that jobs and schedules share."""

    async def confirm_newest(self, body: Body) -> None:
        """
        Raises:
            Conflict: the API server has a newer version than this one.
            Gone: the object does not exist.
        """

    async def write_status(self, body: Body, patch: Mapping[str, Any]) -> None:
        """Merges the patch into the status of exactly this version.

        Raises:
            Conflict: there is a newer version.
            Gone: the object no longer exists.
        """

    async def tell(self, event: Manifest) -> None:
        """Records an Event once; a failure to record it stops nothing."""


async def write(
    body: Body,
    status: Mapping[str, Any],
    events: Iterable[Manifest],
    check_again_in: timedelta | None,
    *,
    cluster: Writing,
) -> Reconciled:
    """Writes `status` if it has changed; `events` are evaluated after that."""
    patch = status_patch(body.get("status", {}), status)
    if patch:
        await cluster.write_status(body, patch)
    # After the status: an Event reports a change that was written.
    for event in events:
        await cluster.tell(event)
    ready = conditions.require(status["conditions"], "Ready")
    return Reconciled(
        phase=status.get("phase"),
        reason=ready["reason"],
        message=ready["message"],
        has_written=bool(patch),
        check_again_in=check_again_in,
    )


def status_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Manifest:
    """The merge patch that turns `before` into `after`; empty when they are equal."""
    patch: Manifest = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            patch[name] = status_patch(old, value)
        else:
            patch[name] = value
    return patch
