# SPDX-License-Identifier: Apache-2.0
"""review: what the API server is told when somebody applies a job or schedule. No I/O here.

The same check as the operator's own, one step earlier; so whatever is let through unchecked, since
no replica could be asked, is refused in the job's status instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_operator.job.spec import OPEN_PARTS, check_body, is_accepted, is_of_open_part
from finetune_operator.objects.names import GROUP, KIND, SCHEDULE_KIND
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.schedule.spec import check_schedule_body
from finetune_operator.settings import Settings
from finetune_spec.config import Problem
from finetune_spec.pods.passed_on import PREFIX, is_of_passed_on

API_VERSION = "admission.k8s.io/v1"

CHECKS = {KIND: check_body, SCHEDULE_KIND: check_schedule_body}

MAX_MISTAKES = 50
MAX_WARNINGS = 15
MAX_WARNING_LENGTH = 256
"""The API server passes on 4096 characters of warnings in all."""

UNCHECKED = (
    "the config could not be checked now because of an internal error; the operator checks it "
    "again and reports the result in the condition Accepted"
)


def parse_review(document: object) -> Body:
    """
    Raises:
        ValueError: this is no request for a review; says why.
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


def review(request: Body, settings: Settings, model: Mapping[str, Any] | None = None) -> Manifest:
    """Whether this may be written, with everything that is wrong with it or seldom meant.

    `model` is its model's `config.json`, where that is known.
    """
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
    """The answer where the check itself has failed: that must not keep anybody from working."""
    return {"allowed": True, "warnings": [UNCHECKED]}


def is_to_be_checked(request: Body) -> bool:
    """Whether a request makes a job or schedule, or changes what is still open to change."""
    if request.get("kind", {}).get("kind") not in CHECKS or request.get("subResource"):
        return False
    match request.get("operation"):
        case "CREATE":
            return True
        case "UPDATE":
            return _is_an_edit(request)
    return False


def job_in(request: Body) -> Body:
    """The job that is applied, or the one that a schedule would make."""
    applied: Body = request["object"]
    is_schedule = request["kind"]["kind"] == SCHEDULE_KIND
    return applied["spec"]["jobTemplate"] if is_schedule else applied


def _is_an_edit(request: Body) -> bool:
    """Whether an update changes what is still open to change."""
    before, after = request["oldObject"], request["object"]
    # What is being deleted is only written to so that it can go.
    if "deletionTimestamp" in after["metadata"]:
        return False
    if _passed_on_in(before) != _passed_on_in(after):
        return True
    # What was accepted once is locked by the API server; stricter rules of today can't be met.
    if is_accepted(_with_old_status(request)):
        return any(before["spec"].get(part) != after["spec"].get(part) for part in OPEN_PARTS)
    # A label or annotation must be possible on what was let through unchecked, and a halt too.
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
    """Whether it is for the user of an edit to correct, and not what was let through before."""
    before, after = request["oldObject"]["spec"], request["object"]["spec"]
    if _without_suspend(before) == _without_suspend(after):
        return is_of_passed_on(problem)
    return is_of_open_part(problem) or not is_accepted(_with_old_status(request))


def _without_suspend(spec: Body) -> Manifest:
    return {name: value for name, value in spec.items() if name != "suspend"}


def _with_old_status(request: Body) -> Body:
    """The job as it would be; whoever applies it has no say in its status."""
    return {**request["object"], "status": request["oldObject"].get("status", {})}


def _render_refusal(request: Body, mistakes: Sequence[Problem]) -> Manifest:
    """A `metav1.Status` of the form that the API server's own checks of a schema have."""
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
    """One mistake per line, for clients that don't read the causes."""
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
    """What kubectl shows after `Warning:`; never more than the API server passes on."""
    rendered = [_as_header(str(problem)) for problem in warnings[:MAX_WARNINGS]]
    if len(warnings) > MAX_WARNINGS:
        more = len(warnings) - MAX_WARNINGS + 1
        rendered[-1] = f"and {more} more warnings; the condition Accepted lists all of them"
    return rendered


def _as_header(text: str) -> str:
    """A header holds one line of printable characters, or the API server drops it."""
    line = "".join(character if character.isprintable() else " " for character in text)
    if len(line) <= MAX_WARNING_LENGTH:
        return line
    return f"{line[: MAX_WARNING_LENGTH - 3]}..."
