# SPDX-License-Identifier: Apache-2.0
"""parse_schedule: turns the raw FineTuneSchedule into a checked value. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from finetune_contract.limits import TEN_YEARS
from finetune_operator.job.guard_rails import check_guard_rails
from finetune_operator.objects.errors import InvalidSpec
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_operator.schedule.due import Timetable
from finetune_operator.settings import Settings
from finetune_spec.config import Problem
from finetune_spec.config.bounds import find_beyond
from finetune_spec.cron.expression import parse_cron
from finetune_spec.cron.zones import UTC, find_zone
from finetune_spec.job import KnownModel
from finetune_spec.schedule import check_schedule, in_template


class Policy(StrEnum):
    """The handling of a job that is due while an earlier one runs."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A FineTuneSchedule whose spec is valid."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    table: Timetable
    is_suspended: bool
    policy: Policy
    keep_succeeded: int
    keep_failed: int
    """How many finished jobs are kept."""
    template: Mapping[str, Any]
    """`metadata` and `spec` of the jobs, as the user wrote them."""
    warnings: tuple[str, ...] = ()


def check_schedule_body(
    body: Body, settings: Settings, model: KnownModel | None = None
) -> tuple[Problem, ...]:
    """All errors and warnings of a raw schedule."""
    spec, metadata = body["spec"], body["metadata"]
    if (beyond := find_beyond(spec, "spec")) is not None:
        return (beyond,)
    told = check_schedule(
        spec,
        trainer_image=settings.trainer_image,
        annotations=metadata.get("annotations"),
        model=model,
        gpu_bytes=settings.gpu_memory_bytes,
    )
    template = spec["jobTemplate"]["spec"]
    return (*told, *map(in_template, check_guard_rails(template, metadata["namespace"], settings)))


def parse_schedule(body: Body, settings: Settings, model: KnownModel | None = None) -> Schedule:
    """
    Raises:
        InvalidSpec: names every problem.
    """
    metadata, spec = body["metadata"], body["spec"]
    problems = check_schedule_body(body, settings, model)
    if mistakes := [problem for problem in problems if not problem.is_warning]:
        raise InvalidSpec(mistakes)
    deadline = spec.get("startingDeadlineSeconds")
    latest = None if deadline is None else timedelta(seconds=min(deadline, TEN_YEARS))
    return Schedule(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=parse_time(metadata["creationTimestamp"]),
        table=Timetable(
            expression=parse_cron(spec["schedule"]),
            zone=find_zone(spec.get("timeZone", UTC)),
            starting_deadline=latest,
        ),
        is_suspended=spec.get("suspend", False),
        policy=Policy(spec.get("concurrencyPolicy", Policy.ALLOW)),
        keep_succeeded=spec.get("successfulJobsHistoryLimit", 3),
        keep_failed=spec.get("failedJobsHistoryLimit", 1),
        template=spec["jobTemplate"],
        warnings=tuple(str(problem) for problem in problems),
    )
