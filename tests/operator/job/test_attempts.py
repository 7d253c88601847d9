# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import (
    MAX_INTERRUPTED,
    Attempt,
    Result,
    count_failed,
    next_start,
    parse_attempts,
    render_attempts,
)
from support.factories import NOW, a_failure, an_attempt, seconds

FAILED, INTERRUPTED = Result.FAILED, Result.INTERRUPTED
LONG = timedelta(hours=2)


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(an_attempt(), id="running"),
        pytest.param(an_attempt(result=Result.SUCCEEDED, exit_code=0, last_step=0), id="succeeded"),
        pytest.param(
            an_attempt(
                7,
                FAILED,
                failure=a_failure(Category.USER, phase="Training", rank=3),
                exit_code=64,
                last_step=12,
                resumed_from_step=10,
                steps_lost=2,
            ),
            id="failed with every field",
        ),
    ],
)
def test_a_record_is_read_back_unchanged(attempt: Attempt) -> None:
    assert parse_attempts({"attempts": render_attempts([attempt])}) == (attempt,)


@pytest.mark.parametrize(
    ("result", "reason", "category"),
    [
        pytest.param(FAILED, "DatasetNotFound", Category.USER, id="a user's error"),
        pytest.param(FAILED, "OutOfMemory", Category.OUT_OF_MEMORY, id="out of memory"),
        pytest.param(FAILED, "StoreUnreachable", Category.INFRASTRUCTURE, id="infrastructure"),
        pytest.param(FAILED, "OutOfHostMemory", Category.INTERNAL, id="a reason that is gone"),
        pytest.param(INTERRUPTED, "PodFailed", Category.INTERRUPTION, id="one of several"),
        pytest.param(INTERRUPTED, "Evicted", Category.INTERRUPTION, id="one of Kubernetes' own"),
    ],
)
@pytest.mark.parametrize("is_pruned", [True, False])
def test_a_record_of_an_older_operator_keeps_its_category(
    result: Result, reason: str, category: Category, is_pruned: bool
) -> None:
    failure = replace(a_failure(category), reason=reason)
    attempt = an_attempt(1, result, failure=failure)
    (record,) = render_attempts([attempt])
    recorded = record.pop("category")
    if not is_pruned:
        record["blame"] = recorded
    assert parse_attempts({"attempts": [record]}) == (attempt,)


def test_unknown_fields_are_omitted() -> None:
    assert render_attempts([an_attempt()]) == [
        {
            "number": 1,
            "name": "balloon-1",
            "startTime": "2026-05-04T12:00:00Z",
            "result": "Running",
        }
    ]


def test_interruptions_are_not_counted() -> None:
    attempts = [an_attempt(1, INTERRUPTED), an_attempt(2, FAILED), an_attempt(3, INTERRUPTED)]

    assert count_failed(attempts) == 1


@pytest.mark.parametrize(
    ("history", "delay"),
    [
        pytest.param([(FAILED, LONG)], seconds(10), id="first failure"),
        pytest.param([(FAILED, LONG)] * 2, seconds(20), id="second failure"),
        pytest.param([(FAILED, LONG)] * 4, seconds(80), id="fourth failure"),
        pytest.param([(FAILED, LONG)] * 99, seconds(300), id="never longer than five minutes"),
        pytest.param(
            [(FAILED, LONG), (INTERRUPTED, LONG), (FAILED, LONG)],
            seconds(20),
            id="interruptions between failures change nothing",
        ),
        pytest.param([(INTERRUPTED, LONG)] * 9, seconds(0), id="interrupted after a long time"),
        pytest.param([(INTERRUPTED, seconds(60))], seconds(0), id="interrupted early, once"),
        pytest.param([(INTERRUPTED, seconds(60))] * 2, seconds(10), id="interrupted early, twice"),
        pytest.param(
            [(INTERRUPTED, seconds(60))] * 99, seconds(300), id="interrupted early, again and again"
        ),
    ],
)
def test_the_delay_before_the_next_attempt_follows_from_the_history(
    history: list[tuple[Result, timedelta]], delay: timedelta
) -> None:
    attempts = [
        an_attempt(number, result, lasted=lasted)
        for number, (result, lasted) in enumerate(history, start=1)
    ]

    assert next_start(attempts) == NOW + history[-1][1] + delay


def test_no_attempt_follows_a_running_one() -> None:
    assert next_start([]) is None
    assert next_start([an_attempt()]) is None


def test_many_interruptions_do_not_fill_the_status() -> None:
    attempts = [an_attempt(1, FAILED)]
    attempts += [an_attempt(number, INTERRUPTED) for number in range(2, 1000)]

    kept = parse_attempts({"attempts": render_attempts(attempts)})

    assert len(kept) == 1 + MAX_INTERRUPTED
    assert (kept[0].number, kept[-1].number) == (1, 999)


def test_a_job_that_is_changed_every_night_still_fits_its_status() -> None:
    attempts = [an_attempt(n, Result.SUCCEEDED, definition="ab"[n % 2]) for n in range(1, 999)]

    kept = parse_attempts({"attempts": render_attempts(attempts)})

    assert [attempt.number for attempt in kept] == [*range(988, 999)]


def test_the_longest_history_fits_a_status() -> None:
    failure = a_failure(message="m" * 1024, remedy="r" * 512)
    failed = [an_attempt(n, Result.FAILED, failure=failure) for n in range(1, 101)]
    interrupted = [an_attempt(n, Result.INTERRUPTED, failure=failure) for n in range(101, 200)]

    rendered = render_attempts([*failed, *interrupted])

    assert len(rendered) < 200
    assert len(json.dumps(rendered)) < 60 * 1024
    assert render_attempts(parse_attempts({"attempts": rendered})) == rendered
    assert rendered[-1]["message"]


@pytest.mark.parametrize(
    "edited",
    [
        {"name": "../../../../../api/v1/namespaces/kube-system/secrets/a"},
        {"name": "x" * 300_000},
        {"name": "a/b"},
        {"name": "a?b"},
        {"name": "\u00e9"},
        {"name": ""},
        {"name": "a\nb"},
        {"number": 2**63 - 1},
        {"number": 0},
        {"number": -(2**63)},
    ],
    ids=repr,
)
def test_a_record_not_written_by_an_operator_is_ignored(edited: dict[str, Any]) -> None:
    """Its name becomes part of requests, and the next number is counted from its number."""
    right = {"number": 1, "name": "a-1", "startTime": "2026-01-01T00:00:00Z", "result": "Running"}

    found = parse_attempts({"attempts": [right, {**right, **edited}]})

    assert [it.name for it in found] == ["a-1"]
