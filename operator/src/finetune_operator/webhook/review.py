# SPDX-License-Identifier: Apache-2.0
"""review: the response to the API server when a job or schedule is applied. No I/O here.

The same check as the operator's own, one step earlier. Objects that pass unchecked because no
replica was reachable are rejected in the job's status instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_operator.job.spec import OPEN_PARTS, check_body, is_accepted, is_of_open_part
from finetune_operator.objects.names import GROUP, KIND, SCHEDULE_KIND
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.schedule.spec import check_schedule_body
from finetune_operator.settings import Settings
from finetune_spec.config import Problem
from finetune_spec.job import KnownModel
from finetune_spec.pods.passed_on import PREFIX, is_of_passed_on

API_VERSION = "admission.k8s.io/v1"

CHECKS = {KIND: check_body, SCHEDULE_KIND: check_schedule_body}

MAX_MISTAKES = 50
MAX_WARNINGS = 15
MAX_WARNING_LENGTH = 256
"""The API server passes on 4096 characters of warnings in total."""

UNCHECKED = (
    "the config could not be checked now because of an internal error; the operator checks it "
    "again and reports the result in the condition Accepted"
)


def parse_review(document: object) -> Body:
    """
    Raises:
        ValueError: this is no AdmissionReview; the message has the reason.
    """
    if not isinstance(document, Mapping) or document.get("apiVersion") != API_VERSION:
        raise ValueError(f"expected an AdmissionReview of {API_VERSION}")
    request = document.get("request")
    if not isinstance(request, Mapping) or not isinstance(request.get("uid"), str):
        raise ValueError("the AdmissionReview has no request with a uid")
    return request


def render_review(request: Body, response: Body) -> Manifest:
    """The AdmissionReview that answers a request."""
    return {
        "apiVersion": API_VERSION,
        "kind": "AdmissionReview",
        "response": {"uid": request["uid"], **response},
    }


def review(request: Body, settings: Settings, model: KnownModel | None = None) -> Manifest:
    """Whether this may be written, with all errors and warnings."""
    if not is_to_be_checked(request):
        return {"allowed": True}
    check = CHECKS[request["kind"]["kind"]]
    problems = check(request["object"], settings, model)
    if request.get("oldObject"):
        problems = tuple(problem for problem in problems if _is_of_this_edit(problem, request))
    warnings = [problem for problem in problems if problem.is_warning]
    mistakes = [problem for problem in problems if not problem.is_warning]
    response: Manifest = {"allowed": not mistakes}
    if warnings:
        response["warnings"] = render_warnings(warnings)
    if mistakes:
        response["status"] = _render_refusal(request, mistakes)
    return response


def let_through() -> Manifest:
    """The response after the check itself failed: our error must not block users."""
    return {"allowed": True, "warnings": [UNCHECKED]}


def is_to_be_checked(request: Body) -> bool:
    """Whether a request creates a job or schedule, or changes a part that can still be changed."""
    if request.get("kind", {}).get("kind") not in CHECKS or request.get("subResource"):
        return False
    match request.get("operation"):
        case "CREATE":
            return True
        case "UPDATE":
            return _is_an_edit(request)
    return False


def job_in(request: Body) -> Body:
    """The job that is applied, or the one that a schedule would create."""
    applied: Body = request["object"]
    is_schedule = request["kind"]["kind"] == SCHEDULE_KIND
    return applied["spec"]["jobTemplate"] if is_schedule else applied


def _is_an_edit(request: Body) -> bool:
    """Whether an update changes a part that can still be changed."""
    before, after = request["oldObject"], request["object"]
    # Objects being deleted are only written to so that they can be removed.
    if "deletionTimestamp" in after["metadata"]:
        return False
    if _passed_on_in(before) != _passed_on_in(after):
        return True
    # An accepted spec is locked by the API server; it cannot be adapted to today's stricter rules.
    if is_accepted(_with_old_status(request)):
        return any(before["spec"].get(part) != after["spec"].get(part) for part in OPEN_PARTS)
    # Objects that passed unchecked must still accept labels, annotations and `suspend`.
    return _without_suspend(before["spec"]) != _without_suspend(after["spec"])


def _passed_on_in(body: Body) -> list[tuple[str, str, object]]:
    """The labels and annotations of a job that its pods' Jobs get."""
    return sorted(
        (section, name, value)
        for section in ("labels", "annotations")
        for name, value in (body["metadata"].get(section) or {}).items()
        if name.startswith(PREFIX)
    )


def _is_of_this_edit(problem: Problem, request: Body) -> bool:
    """Whether the user's edit caused it, in contrast to problems that passed before."""
    before, after = request["oldObject"]["spec"], request["object"]["spec"]
    if _without_suspend(before) == _without_suspend(after):
        return is_of_passed_on(problem)
    return is_of_open_part(problem) or not is_accepted(_with_old_status(request))


def _without_suspend(spec: Body) -> Manifest:
    return {name: value for name, value in spec.items() if name != "suspend"}


def _with_old_status(request: Body) -> Body:
    """The job after the request; the client's status is ignored."""
    return {**request["object"], "status": request["oldObject"].get("status", {})}


def _render_refusal(request: Body, mistakes: Sequence[Problem]) -> Manifest:
    """A `metav1.Status` in the form of the API server's own schema errors."""
    told = [*mistakes[:MAX_MISTAKES]]
    if len(mistakes) > MAX_MISTAKES:
        more = f"and {len(mistakes) - MAX_MISTAKES} more errors"
        told.append(Problem(path="spec.config", message=more))
    return {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": _render_message([str(problem) for problem in told]),
        "details": {
            "name": request.get("name", ""),
            "group": GROUP,
            "kind": request["kind"]["kind"],
            "causes": [_render_cause(problem) for problem in told],
        },
    }


def _render_message(sentences: Sequence[str]) -> str:
    """One error per line, for clients that do not read the causes."""
    if len(sentences) == 1:
        return sentences[0]
    return "\n".join(["the config has errors:", *(f"* {sentence}" for sentence in sentences)])


def _render_cause(problem: Problem) -> Mapping[str, Any]:
    return {
        "reason": "FieldValueInvalid",
        "field": problem.path,
        "message": problem.message,
    }


def render_warnings(warnings: Sequence[Problem]) -> list[str]:
    """The text that kubectl shows after `Warning:`; never more than the API server passes on."""
    rendered = [_as_header(str(problem)) for problem in warnings[:MAX_WARNINGS]]
    if len(warnings) > MAX_WARNINGS:
        more = len(warnings) - MAX_WARNINGS + 1
        rendered[-1] = f"and {more} more warnings; the condition Accepted lists all of them"
    return rendered


def _as_header(text: str) -> str:
    """A header must be one line of printable characters, or the API server drops it."""
    line = "".join(character if character.isprintable() else " " for character in text)
    if len(line) <= MAX_WARNING_LENGTH:
        return line
    return f"{line[: MAX_WARNING_LENGTH - 3]}..."
