# SPDX-License-Identifier: Apache-2.0
"""Our computation of times compared with the real CronJob controller: thousands of random
schedules.
"""

import random

import pytest

from support.cronjob_oracle import GOLDEN, HANGS, a_mistake, a_question, answer, ask_kubernetes

RECORDED = [line.split(" = ") for line in GOLDEN.read_text().splitlines()]


def differences(questions: list[str]) -> list[str]:
    theirs = ask_kubernetes(questions)
    pairs = zip(questions, theirs, map(answer, questions), strict=True)
    return [
        f"{asked}: Kubernetes {right}, we {ours}"
        for asked, right, ours in pairs
        if right not in (ours, HANGS)
    ]


def test_recorded_answers_of_kubernetes_match_ours() -> None:
    assert len(RECORDED) == 400
    assert [(asked, answer(asked)) for asked, _ in RECORDED] == [
        (asked, right) for asked, right in RECORDED
    ]


def test_the_recorded_questions_cover_every_kind_of_schedule() -> None:
    asked, told = "\n".join(line[0] for line in RECORDED), [line[1] for line in RECORDED]

    assert all(part in asked for part in ("next|", "due|", "Lord_Howe", "@every", "?", "Wed"))
    assert "error" in told
    assert {line.split()[1] for line in told if line.count(" ") == 2} == {"0", "1", "2"}


@pytest.mark.slow  # It compiles the controller.
def test_random_schedules_are_due_at_the_same_times_as_in_kubernetes() -> None:
    chance = random.Random(20261123)  # noqa: S311 - the same each time

    assert differences([a_question(chance, 10) for _ in range(2000)]) == []


@pytest.mark.slow
def test_exactly_the_schedules_that_kubernetes_cannot_parse_are_refused() -> None:
    chance = random.Random(5)  # noqa: S311
    questions = [f"next|UTC|{a_mistake(chance)}|1700000000|2" for _ in range(5000)]

    assert differences(questions) == []


@pytest.mark.soak
def test_years_of_random_schedules_match_kubernetes() -> None:
    chance = random.Random()  # noqa: S311 - others each time: a difference names its question

    for _ in range(20):
        assert differences([a_question(chance, 40) for _ in range(3000)]) == []
