# SPDX-License-Identifier: Apache-2.0
"""Checks the spec of a FineTuneSchedule beyond the API server's schema. No I/O here.

Its job's spec gets the same checks as a job (`job`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from finetune_contract.documents import parse_object
from finetune_spec.config.bounds import find_beyond
from finetune_spec.config.problem import Problem, quoted
from finetune_spec.cron.expression import parse_cron
from finetune_spec.cron.times import next_time
from finetune_spec.cron.zones import UTC as DEFAULT_ZONE
from finetune_spec.cron.zones import find_zone
from finetune_spec.job import KnownModel, check_job
from finetune_spec.lost_nulls import LAST_APPLIED
from finetune_spec.pods import check_passed_on

TEMPLATE = "spec.jobTemplate"

MAX_RUN_TOKEN = 230
"""The scheduled time is appended, and a job's own accepts 256 characters."""

_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""Every existing date comes within five years after it."""


def check_schedule(
    spec: Mapping[str, Any],
    *,
    trainer_image: str = "",
    annotations: Mapping[str, str] | None = None,
    model: KnownModel | None = None,
    gpu_bytes: int | None = None,
) -> tuple[Problem, ...]:
    """All problems of a spec whose fields have the right shape, with complete paths; the arguments
    are those of `check_job`.
    """
    if (beyond := find_beyond(spec, "spec")) is not None:
        return (beyond,)
    template = spec["jobTemplate"]["spec"]
    of_job = check_job(
        template,
        trainer_image=trainer_image,
        annotations=_of_template(annotations or {}),
        model=model,
        gpu_bytes=gpu_bytes,
    )
    metadata = spec["jobTemplate"].get("metadata")
    passed_on = check_passed_on(metadata, template, f"{TEMPLATE}.metadata")
    of_jobs = (*map(in_template, of_job.problems), *passed_on)
    return (*_check_times(spec), *_check_token(template), *of_jobs)


def in_template(problem: Problem) -> Problem:
    """The same problem with the path of the schedule's job template."""
    if not problem.path.startswith("spec."):
        return problem
    return replace(problem, path=f"{TEMPLATE}.{problem.path}")


def _check_times(spec: Mapping[str, Any]) -> Iterator[Problem]:
    zone = None
    try:
        zone = find_zone(spec.get("timeZone", DEFAULT_ZONE))
    except ValueError as error:
        yield Problem(path="spec.timeZone", message=str(error))
    if "schedule" not in spec:
        return
    try:
        expression = parse_cron(spec["schedule"])
    except ValueError as error:
        yield Problem(path="spec.schedule", message=str(error))
        return
    if zone is not None and next_time(expression, _ANY_DAY, zone) is None:
        found = quoted(spec["schedule"])
        yield Problem(path="spec.schedule", message=f"found {found}, which never matches a date")


def _check_token(template: Mapping[str, Any]) -> Iterator[Problem]:
    length = len(template.get("runToken") or "")
    if length > MAX_RUN_TOKEN:
        yield Problem(
            path=f"{TEMPLATE}.spec.runToken",
            message=f"found {length} characters, expected at most {MAX_RUN_TOKEN}: the scheduled "
            "time is appended to them",
        )


def _of_template(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """kubectl's last applied annotation, as if for the job; empty if it is invalid."""
    try:
        template = parse_object(annotations[LAST_APPLIED], LAST_APPLIED)["spec"]["jobTemplate"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {LAST_APPLIED: json.dumps(template)}
