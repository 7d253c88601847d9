# SPDX-License-Identifier: Apache-2.0
"""The texts of `kubectl finetune` about a job."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.cluster import job_texts
from finetune_cli.cluster.kubectl import Kubectl, read_documents
from finetune_cli.cluster.watching import WatchDisplay


def a_job(phase: str = "Running", *, message: str = "trains", **status: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "False", "message": message}
    return {
        "metadata": {"name": "balloon"},
        "status": {"phase": phase, "conditions": [ready], **status},
    }


def a_pod(
    name: str, *, attempt: int = 1, index: int = 0, phase: str = "Running", ended: str | None = None
) -> dict[str, Any]:
    labels = {
        "finetune.dev/attempt": str(attempt),
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    state = {"terminated": {"finishedAt": ended}} if ended else {"running": {}}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"phase": phase, "containerStatuses": [{"state": state}]},
    }


def test_a_headline_includes_the_reason() -> None:
    assert job_texts.headline(a_job()) == "Running: trains"
    assert job_texts.headline(a_job("Retrying", message="in 20 s", attempt=2)) == (
        "Retrying (attempt 2): in 20 s"
    )


def test_a_job_without_a_status_is_shown_as_pending() -> None:
    job = {"metadata": {"name": "new"}, "spec": {}}

    assert job_texts.headline(job) == "Pending: the operator has not looked at it yet"


def test_a_success_shows_its_metrics_and_artifact() -> None:
    job = a_job(
        "Succeeded",
        progress={"step": 9, "loss": 0.5, "evalLoss": 0.6, "baseEvalLoss": 3.25},
        lossHistory=[{"step": 1, "loss": 4}, {"step": 9, "loss": 0.5}],
        artifact={"uri": "s3://models/balloon/1/adapter", "digest": "sha256:ab"},
    )

    assert job_texts.ending(job).splitlines() == [
        "Succeeded after 9 steps.",
        "  loss      4 -> 0.5",
        "  eval loss 3.25 -> 0.6",
        "  artifact  s3://models/balloon/1/adapter",
        "  digest    sha256:ab",
    ]


def test_a_failure_shows_its_remedy() -> None:
    failure = {"reason": "ModelNotFound", "message": "there is none", "remedy": "correct it"}

    assert job_texts.ending(a_job("Failed", failure=failure)).splitlines() == [
        "ModelNotFound: there is none",
        "  remedy: correct it",
    ]


def test_a_failure_that_quotes_data_emits_no_terminal_control_codes() -> None:
    failure = {"reason": "InvalidRow", "message": "row 3 is\x1b[2J", "remedy": "correct \x07it"}

    assert "\x1b" not in job_texts.ending(a_job("Failed", failure=failure))
    assert "\x07" not in job_texts.ending(a_job("Failed", failure=failure))
    assert "\x1b" not in job_texts.headline(a_job(message="waits\x1b[2J"))


def test_a_refused_job_shows_what_is_wrong() -> None:
    assert job_texts.ending(a_job("Failed", message="spec.config: wrong")) == "spec.config: wrong"


@pytest.mark.parametrize(
    ("category", "code"),
    [
        ("User", 64),
        ("Internal", 70),
        ("Infrastructure", 75),
        ("OutOfMemory", 77),
        ("Platform", 78),
        ("Interruption", 143),
        ("of a newer operator", 70),
    ],
)
def test_a_failed_job_exits_with_the_code_of_a_local_run(category: str, code: int) -> None:
    failure = {"reason": "Any", "message": "it failed", "category": category}

    assert job_texts.exit_code(a_job("Failed", failure=failure)) == code


def test_a_refused_job_exits_with_an_error_and_a_running_one_does_not() -> None:
    assert job_texts.exit_code(a_job("Failed", message="spec.config: wrong")) == 64
    assert job_texts.exit_code(a_job("Running")) == 0
    assert job_texts.exit_code(a_job("Succeeded")) == 0


def test_each_attempt_shows_how_it_ended() -> None:
    attempts = [
        {"number": 1, "result": "Interrupted", "reason": "Evicted", "stepsLost": 3},
        {"number": 2, "result": "Running"},
    ]

    assert job_texts.attempts(a_job(attempts=attempts)) == [
        "  1  Interrupted Evicted, 3 steps lost",
        "  2  Running",
    ]


def test_answers_are_listed_below_their_prompt_without_control_codes() -> None:
    known = {"prompt": "Name a\ncolour.", "before": "\x1b[2J", "after": "Blue."}

    assert job_texts.answers(a_job(answers=[known, {"prompt": "Why?"}])) == [
        "  asked     Name a colour.",
        "    before: [2J",
        "    after:  Blue.",
        "  asked     Why?",
    ]


@pytest.mark.parametrize(
    ("pods", "attempt", "chosen"),
    [
        pytest.param([], 1, None, id="none is left"),
        pytest.param([a_pod("b", index=1), a_pod("a", index=0)], 1, "a", id="node 0"),
        pytest.param([a_pod("old"), a_pod("new", attempt=2)], 2, "new", id="the newest attempt"),
        pytest.param([a_pod("old")], 2, "old", id="only an earlier attempt's is left"),
        pytest.param(
            [
                a_pod("echo", index=0, phase="Failed", ended="2026-01-01T00:00:09Z"),
                a_pod("first", index=1, phase="Failed", ended="2026-01-01T00:00:08Z"),
                a_pod("well", index=2),
            ],
            1,
            "first",
            id="the first that failed",
        ),
    ],
)
def test_the_most_informative_pod_log_is_chosen(
    pods: list[dict[str, Any]], attempt: int, chosen: str | None
) -> None:
    assert job_texts.pod_to_read(a_job(attempt=attempt), pods) == chosen


def test_without_a_terminal_each_change_and_every_tenth_step_gets_a_line() -> None:
    stream = StringIO()
    display = WatchDisplay(stream)

    def at(step: int) -> dict[str, Any]:
        progress = {"step": step, "totalSteps": 40, "percent": step * 100 // 40, "loss": 1 / step}
        return a_job(progress=progress | {"eta": "2m", "tokensPerSecond": 1234.5})

    display.show(a_job("Starting", message="the pods start"))
    for step in (1, 2, 3, 4, 5, 8, 8):
        display.show(at(step))
    display.show(a_job("Succeeded", message="done"))

    assert stream.getvalue().splitlines() == [
        "Starting: the pods start",
        "Running: trains",
        "  step 4/40 (10 %)  loss 0.25  1,234 tokens/s  ETA 2m",
        "  step 8/40 (20 %)  loss 0.125  1,234 tokens/s  ETA 2m",
        "Succeeded: done",
    ]


def test_the_watch_output_of_kubectl_is_parsed_document_by_document() -> None:
    stream = StringIO('{\n    "a": {\n        "b": 1\n    }\n}\n{\n    "a": 2\n}\n{\n    "cut')

    assert list(read_documents(stream)) == [{"a": {"b": 1}}, {"a": 2}]


def test_a_success_ends_with_its_warnings() -> None:
    left_out = {"severity": "Warning", "reason": "RowsLeftOut", "message": "2 of 8 rows\n\x1b[2J"}
    job = a_job("Succeeded", progress={"step": 9}, notes=[left_out])

    assert job_texts.ending(job).splitlines() == [
        "Succeeded after 9 steps.",
        "  warning   2 of 8 rows  [2J",
    ]


def test_a_deeply_nested_job_does_not_hide_other_jobs(tmp_path: Path) -> None:
    """A fake kubectl prints the API server's answer."""
    deep = '{"a":' * 9_000 + "1" + "}" * 9_000
    (tmp_path / "jobs.json").write_text(f'{{"items": [{{"spec": {deep}}}, {{"name": "own"}}]}}')
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat {tmp_path}/jobs.json\n")
    kubectl.chmod(0o755)

    found = Kubectl((), str(kubectl)).get("ftj")
    (followed,) = read_documents(StringIO(f'{{"spec": {deep}, "name": "own"\n}}\n'))

    assert found["items"][1] == {"name": "own"}
    assert followed["name"] == "own"
