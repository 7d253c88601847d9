# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_operator.job.spec import definition_of
from finetune_operator.webhook.review import (
    MAX_MISTAKES,
    MAX_WARNING_LENGTH,
    MAX_WARNINGS,
    let_through,
    parse_review,
    render_review,
    render_warnings,
    review,
)
from finetune_spec.config.problem import warning
from support.factories import CONFIG, SETTINGS, a_job_body

TYPO = {**CONFIG, "learning_rte": 1e-4}
TYPO_FOUND = "spec.config.learning_rte: "
TYPO_MEANT = "did you mean learning_rate?"
UNUSUAL = {**CONFIG, "torch_dtype": "bfloat16"}
DELETED = {"deletionTimestamp": "2026-05-04T12:00:00Z", "finalizers": ["x/y"]}
ACCEPTED = {"runId": "x"}
DEFINED = {"runId": "x", "definition": definition_of(a_job_body()["spec"])}
LOW = {"spec": {"priorityClassName": "low"}}


def a_request(
    operation: str = "CREATE",
    *,
    config: Mapping[str, Any] = CONFIG,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """The API server's request; `after` is the applied job."""
    return {
        "uid": "uid-of-request",
        "kind": {"group": "finetune.dev", "version": "v1alpha1", "kind": "FineTuneJob"},
        "operation": operation,
        "namespace": "team",
        "name": "balloon",
        "object": after or a_job_body(config=config),
        "oldObject": before,
        **given,
    }


def test_a_valid_job_is_admitted_without_warnings() -> None:
    assert review(a_request(), SETTINGS) == {"allowed": True}


def test_all_errors_are_reported_at_once_each_with_its_field() -> None:
    config = {**TYPO, "max_length": "long", "packing": "maybe"}

    response = review(a_request(config=config), SETTINGS)

    status = response["status"]
    fields = {cause["field"] for cause in status["details"]["causes"]}
    assert not response["allowed"]
    assert (status["code"], status["reason"], status["status"]) == (422, "Invalid", "Failure")
    assert status["details"]["kind"] == "FineTuneJob"
    assert status["details"]["name"] == "balloon"
    assert fields == {"spec.config.learning_rte", "spec.config.max_length", "spec.config.packing"}


def test_a_message_has_one_error_per_line_with_the_text_of_the_causes() -> None:
    config = {**TYPO, "max_length": "long"}

    status = review(a_request(config=config), SETTINGS)["status"]

    first, *lines = status["message"].split("\n")
    causes = status["details"]["causes"]
    assert first == "the config has errors:"
    assert lines == [f"* {cause['field']}: {cause['message']}" for cause in causes]


def test_a_single_error_is_the_complete_message() -> None:
    message = review(a_request(config=TYPO), SETTINGS)["status"]["message"]

    assert message.startswith(TYPO_FOUND)
    assert message.endswith(TYPO_MEANT)
    assert "\n" not in message


def test_a_suspicious_setting_is_a_warning_and_not_refused() -> None:
    response = review(a_request(config=UNUSUAL), SETTINGS)

    assert response["allowed"]
    assert [warning.split(":")[0] for warning in response["warnings"]] == [
        "spec.config.torch_dtype"
    ]


def test_a_refused_job_gets_its_warnings_as_well() -> None:
    response = review(a_request(config={**UNUSUAL, **TYPO}), SETTINGS)

    assert not response["allowed"]
    assert len(response["warnings"]) == 1


@pytest.mark.parametrize(
    ("before", "after", "is_allowed"),
    [
        pytest.param(
            a_job_body(), a_job_body(config=TYPO), False, id="a typo edited into an open job"
        ),
        pytest.param(
            a_job_body(config=TYPO), a_job_body(), True, id="a typo that is edited out of it"
        ),
        pytest.param(
            a_job_body(config=TYPO),
            a_job_body(config={**TYPO, "max_length": 512}),
            False,
            id="another edit of a job with a typo",
        ),
        pytest.param(
            a_job_body(config=TYPO),
            a_job_body(config=TYPO, metadata={"labels": {"team": "a"}}),
            True,
            id="a label for a job with a typo",
        ),
        pytest.param(
            a_job_body(metadata=DELETED),
            a_job_body(config=TYPO, metadata=DELETED),
            True,
            id="any edit that releases it",
        ),
        pytest.param(
            a_job_body(status=ACCEPTED),
            a_job_body(config=TYPO, status=ACCEPTED),
            True,
            id="an accepted job, which the API server has locked",
        ),
        pytest.param(
            a_job_body(config=TYPO, status=ACCEPTED),
            a_job_body(config=TYPO, status=ACCEPTED, podTemplate=LOW),
            True,
            id="the pods of a job that was accepted under other rules",
        ),
        pytest.param(
            a_job_body(status=ACCEPTED),
            a_job_body(status=ACCEPTED, podTemplate={"spec": {"hostNetwork": True}}),
            False,
            id="wrong pods of an accepted job",
        ),
        pytest.param(
            a_job_body(status=DEFINED),
            a_job_body(config=TYPO, status=DEFINED, onChange="Rerun"),
            False,
            id="a typo by which an accepted job is to run again",
        ),
    ],
)
def test_an_update_is_checked_only_where_it_edits_mutable_fields(
    before: dict[str, Any], after: dict[str, Any], is_allowed: bool
) -> None:
    request = a_request("UPDATE", before=before, after=after)

    assert review(request, SETTINGS)["allowed"] is is_allowed


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"operation": "DELETE", "object": None}, id="deletion"),
        pytest.param({"operation": "CONNECT"}, id="an operation unknown here"),
        pytest.param({"subResource": "status"}, id="the status"),
        pytest.param({"kind": {"kind": "Pod"}, "object": {}}, id="another kind"),
    ],
)
def test_requests_that_do_not_concern_a_jobs_spec_are_admitted(given: dict[str, Any]) -> None:
    request = a_request(config=TYPO) | given

    assert review(request, SETTINGS) == {"allowed": True}


@pytest.mark.parametrize("config", [CONFIG, TYPO, UNUSUAL], ids=["good", "wrong", "unusual"])
def test_a_dry_run_gets_the_same_answer(config: Mapping[str, Any]) -> None:
    real, dry = a_request(config=config), a_request(config=config, dryRun=True)

    assert review(real, SETTINGS) == review(dry, SETTINGS)


def test_an_image_with_an_unknown_trl_gets_a_warning_instead_of_a_check() -> None:
    job = a_job_body(config=TYPO, image="trainer:trl99.0.0")

    response = review(a_request(after=job), SETTINGS)

    assert response["allowed"]
    assert "99.0.0" in response["warnings"][0]


def test_an_answer_stays_readable_with_any_number_of_errors() -> None:
    mixture = [{"path": "some/data", "no_field": 1}] * (MAX_MISTAKES + 7)
    config = {"model_name_or_path": "some/model", "datasets": mixture}

    status = review(a_request(config=config), SETTINGS)["status"]

    causes = status["details"]["causes"]
    assert len(causes) == MAX_MISTAKES + 1
    assert causes[-1]["message"] == "and 7 more errors"
    assert status["message"].endswith("and 7 more errors")


def test_warnings_fit_the_headers_they_are_sent_in() -> None:
    found = [warning(f"spec.config.key_{n}", "a\nb\x00" + "c" * 300) for n in range(40)]

    warnings = render_warnings(found)

    assert len(warnings) == MAX_WARNINGS
    assert all(text.isprintable() for text in warnings)
    assert max(len(text) for text in warnings) <= MAX_WARNING_LENGTH
    assert warnings[-1] == "and 26 more warnings; the condition Accepted lists all of them"


def test_an_answer_names_its_request_and_is_json() -> None:
    request = a_request(config=TYPO)

    answered = render_review(request, review(request, SETTINGS))

    assert json.loads(json.dumps(answered)) == answered
    assert answered["apiVersion"] == "admission.k8s.io/v1"
    assert answered["kind"] == "AdmissionReview"
    assert answered["response"]["uid"] == "uid-of-request"


def test_a_job_that_could_not_be_checked_is_admitted_with_a_warning() -> None:
    response = let_through()

    assert response["allowed"]
    assert "could not be checked" in response["warnings"][0]
    assert len(response["warnings"][0]) <= MAX_WARNING_LENGTH


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param([], "expected an AdmissionReview", id="a list"),
        pytest.param({"apiVersion": "v1"}, "expected an AdmissionReview", id="something else"),
        pytest.param({"apiVersion": "admission.k8s.io/v1beta1"}, "v1", id="an old version"),
        pytest.param({"apiVersion": "admission.k8s.io/v1"}, "no request", id="no request"),
        pytest.param(
            {"apiVersion": "admission.k8s.io/v1", "request": {"uid": 1}}, "uid", id="no uid"
        ),
    ],
)
def test_a_body_that_is_not_a_review_is_refused_with_its_problem(
    document: object, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        parse_review(document)


def test_a_review_is_parsed() -> None:
    request = a_request()

    assert parse_review({"apiVersion": "admission.k8s.io/v1", "request": request}) == request


PARTIAL = {"kueue.x-k8s.io/job-min-parallelism": "1"}
GANG = {"resources": {"nodes": 2}}


def annotated(annotations: dict[str, str], **given: Any) -> dict[str, Any]:
    job = a_job_body(**GANG, **given)
    return {**job, "metadata": {**job["metadata"], "annotations": annotations}}


def test_an_annotation_that_contradicts_the_job_is_refused_at_apply() -> None:
    response = review(a_request(after=annotated(PARTIAL)), SETTINGS)

    assert not response["allowed"]
    assert "fewer than the 2 nodes" in response["status"]["message"]


@pytest.mark.parametrize("status", [{}, {"runId": "x"}], ids=["not accepted", "accepted"])
def test_adding_such_an_annotation_later_is_refused_and_removing_it_is_not(
    status: dict[str, Any],
) -> None:
    with_it = {**annotated(PARTIAL), "status": status}
    without = {**annotated({}), "status": status}

    added = review(a_request("UPDATE", before=without, after=with_it), SETTINGS)
    removed = review(a_request("UPDATE", before=with_it, after=without), SETTINGS)

    assert not added["allowed"]
    assert removed == {"allowed": True}


def test_kueue_annotations_can_be_edited_on_a_stored_invalid_job() -> None:
    before, after = annotated({}, config=TYPO), annotated({"kueue.x-k8s.io/x": "y"}, config=TYPO)

    assert review(a_request("UPDATE", before=before, after=after), SETTINGS) == {"allowed": True}


def test_the_template_of_a_schedule_is_checked_in_the_same_way() -> None:
    template = {"metadata": {"annotations": PARTIAL}, "spec": a_job_body(**GANG)["spec"]}
    schedule = {
        "metadata": {"namespace": "team", "name": "nightly"},
        "spec": {"schedule": "0 2 * * *", "jobTemplate": template},
    }
    kind = {"group": "finetune.dev", "version": "v1alpha1", "kind": "FineTuneSchedule"}

    response = review(a_request(after=schedule, kind=kind), SETTINGS)

    assert not response["allowed"]
    (cause,) = response["status"]["details"]["causes"]
    assert cause["field"].startswith("spec.jobTemplate.metadata.annotations.kueue.x-k8s.io/")
