# SPDX-License-Identifier: Apache-2.0
"""Reasons to stop retrying although the last failure may be retried. No I/O here.

These rules apply between two attempts; a running attempt is ended first, by `stops`.
"""

from datetime import datetime

from finetune_contract.outcome import Failure
from finetune_operator.job.attempts import interruptions_at_end, refused_since
from finetune_operator.job.decide.next_step import Decision, joined
from finetune_operator.job.decide.stops import active_deadline, deadline_exceeded, not_started
from finetune_operator.job.interruptions import judge_in_vain
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.observe.waiting import WaitsOn
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.names import Phase


def when_interrupted_in_vain(
    job: FineTuneJob, observed: Observed, now: datetime
) -> Decision | None:
    failure = judge_in_vain(interruptions_at_end(observed.attempts))
    if observed.newest is None or observed.running is not None or failure is None:
        return None
    return _failed_for(failure, observed)


def when_refused_for_too_long(
    job: FineTuneJob, observed: Observed, now: datetime
) -> Decision | None:
    """The same limit as for waiting pods: a node that refuses them does not start them either."""
    since, newest = refused_since(observed.attempts), observed.newest
    is_over = (
        since is not None and job.start_deadline is not None and (now >= since + job.start_deadline)
    )
    if newest is None or newest.failure is None or observed.running is not None or not is_over:
        return None
    return _failed_for(not_started(job, newest.failure.message, 0, WaitsOn.NODE), observed)


def _failed_for(failure: Failure, observed: Observed) -> Decision:
    return Decision(
        phase=Phase.FAILED,
        reason=failure.reason,
        message=joined(f"{failure.message}. Remedy: {failure.remedy}", observed.companions),
        failure=failure,
    )


def when_time_is_up(job: FineTuneJob, observed: Observed, now: datetime) -> Decision | None:
    deadline = active_deadline(job, observed)
    if observed.running is not None or deadline is None or now < deadline:
        return None
    return _failed_for(deadline_exceeded(job), observed)
