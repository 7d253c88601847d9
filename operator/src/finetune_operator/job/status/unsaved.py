# SPDX-License-Identifier: Apache-2.0
"""Reports checkpoints that cannot be uploaded. No I/O here.

Sets `status.progress.unsaved` after the first failed upload, next to `checkpointStep`, the last
saved step; and the condition `CheckpointsSaved` after `UNSAVED_SECONDS` without an upload.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from finetune_contract.limits import TEN_YEARS, UNSAVED_SECONDS
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Unsaved
from finetune_operator.job.attempts import Attempt
from finetune_operator.objects.conditions import Claim
from finetune_operator.objects.names import JobReason
from finetune_operator.objects.raw import Manifest
from finetune_operator.objects.times import parse_time, render_time
from finetune_spec.quantities import render_duration

CONDITION = "CheckpointsSaved"


def render_unsaved(unsaved: Unsaved | None, now: datetime) -> Manifest | None:
    """`status.progress.unsaved`; None, which removes it, if every checkpoint was uploaded."""
    if unsaved is None:
        return None
    since = now - timedelta(seconds=max(0, min(unsaved.seconds, TEN_YEARS)))
    return {"step": unsaved.step, "since": render_time(since), "message": unsaved.message}


def without_saved(progress: Mapping[str, Any], outcome: Outcome) -> Manifest:
    """The progress of an ended attempt: its outcome contains the last saved step."""
    step = (progress.get("unsaved") or {}).get("step", 0)
    is_saved = outcome.artifact is not None or outcome.checkpoint_step >= step
    return {name: it for name, it in progress.items() if name != "unsaved" or not is_saved}


def claim_unsaved(
    progress: Mapping[str, Any], newest: Attempt | None, now: datetime
) -> list[Claim]:
    """The condition of a running attempt that could not save for too long."""
    unsaved = progress.get("unsaved")
    if not unsaved or newest is None or newest.end is not None:
        return []
    is_current = progress.get("attempt") == newest.number
    if not is_current or now - parse_time(unsaved["since"]) < timedelta(seconds=UNSAVED_SECONDS):
        return []
    safe = progress.get("checkpointStep")
    saved = f"the last saved step is {safe}" if safe else "no checkpoint has been saved yet"
    return [
        Claim(
            type=CONDITION,
            is_true=False,
            reason=JobReason.CHECKPOINTS_NOT_SAVED,
            message=(
                f"no checkpoint could be uploaded for more than {render_duration(UNSAVED_SECONDS)}:"
                f" {saved}, and later steps are lost if the pod ends: {unsaved['message']}"
            ),
        )
    ]
