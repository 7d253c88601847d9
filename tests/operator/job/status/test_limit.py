# SPDX-License-Identifier: Apache-2.0
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.answers import Answer
from finetune_contract.limits import MAX_ANSWERS, MAX_METRIC_NAME, MAX_METRICS, MAX_TEXT
from finetune_contract.outcome import Category
from finetune_contract.progress import Progress
from finetune_operator.job.attempts import Result, count_failed, parse_attempts, render_attempts
from finetune_operator.job.decide.decision import Decision
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.status.limit import MAX_BYTES, size_of, within_limit
from finetune_operator.job.status.loss_history import MAX_POINTS
from finetune_operator.job.status.progress import report_patch
from finetune_operator.job.status.status import next_status
from finetune_operator.objects.names import Phase
from support.factories import NOW, a_failure, a_job, an_attempt

LARGEST = 2**53


DEFINITION = "0123456789abcdef" * 4


def a_status(results: list[Result], length: int, condition_length: int) -> dict[str, Any]:
    """Every record has the maximum length, every character three bytes."""
    failure = a_failure(Category.INFRASTRUCTURE, message="语" * length, remedy="语" * length)
    attempts = [
        an_attempt(
            number,
            result,
            failure=failure,
            name=f"{'b' * 46}-{number}",
            last_step=LARGEST,
            definition=DEFINITION,
        )
        for number, result in enumerate(results, 1)
    ]
    # Every one has a message, as an older operator wrote them.
    records = [record for attempt in attempts for record in render_attempts([attempt])]
    return {
        "phase": "Failed",
        "definition": DEFINITION[:10],
        "definitionDigest": DEFINITION,
        "lossHistory": [{"step": LARGEST, "loss": 0.123456}] * MAX_POINTS,
        "failure": {"message": "语" * length, "remedy": "语" * length},
        "attempts": records,
        "conditions": [
            {"type": name, "message": "语" * condition_length}
            for name in ("Accepted", "Failed", "Stalled", "Ready")
        ],
    }


RESULTS = st.lists(st.sampled_from([Result.FAILED, Result.INTERRUPTED]), max_size=100)


@given(RESULTS, st.integers(0, 1024), st.integers(0, 32768))
def test_no_status_is_too_large_or_miscounts_its_attempts(
    results: list[Result], length: int, condition_length: int
) -> None:
    status = a_status(results, length, condition_length)

    cut = within_limit(status)

    assert size_of(cut) + len(report_of_the_worst()) <= MAX_BYTES
    assert count_failed(parse_attempts(cut)) == count_failed(parse_attempts(status))
    assert cut.get("attempts", [])[-1:] == status["attempts"][-1:]
    assert within_limit(cut) == cut


def report_of_the_worst() -> str:
    """The maximum that a trainer's report can add: long names, numbers and answers, the complete
    curve.
    """
    names = [f"{number:02}" + "\U0001f388" * (MAX_METRIC_NAME - 2) for number in range(MAX_METRICS)]
    text = "\U0001f388" * MAX_TEXT
    told = Progress(
        step=LARGEST,
        loss=1e-300,
        metrics=dict.fromkeys(names, -1.2345e-300),
        answers=(Answer(prompt=text, before=text, after=text),) * MAX_ANSWERS,
    )
    return "x" * size_of(report_patch({}, LARGEST, told, NOW))


def test_a_status_that_fits_is_unchanged() -> None:
    status = a_status([Result.FAILED] * 3, 100, 100)

    assert within_limit(status) == status


def test_the_oldest_messages_are_dropped_first() -> None:
    status = a_status([Result.FAILED] * 15, 1024, 10)

    messages = [len(record["message"]) for record in within_limit(status)["attempts"]]

    assert messages == sorted(messages)
    assert (messages[0], messages[-1]) == (80, 1024)


def test_the_largest_possible_status_is_written_within_the_limit() -> None:
    failure = a_failure(message="x" * 1024, remedy="x" * 1024)
    attempts = tuple(
        an_attempt(number, Result.FAILED, failure=failure, definition=a_job().definition)
        for number in range(1, 201)
    )
    decision = Decision(phase=Phase.FAILED, reason="Because", message="x" * 40_000)
    observed = Observed(attempts=attempts)

    assert size_of(next_status({}, a_job(), observed, decision, NOW)) <= MAX_BYTES
