# SPDX-License-Identifier: Apache-2.0
"""review: what the API server is told when somebody applies a FineTuneJob. No I/O here.

The same check as the operator's own, one step earlier; so whatever is let through unchecked, since
no replica could be asked, is refused in the job's status instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_contract.config import Problem
from finetune_operator.manifest import Body, Manifest
from finetune_operator.naming import GROUP, KIND
from finetune_operator.settings import Settings
from finetune_operator.spec import check_body, is_accepted

API_VERSION = "admission.k8s.io/v1"

MAX_MISTAKES = 50
MAX_WARNINGS = 15
MAX_WARNING_LENGTH = 256
"""The API server passes on 4096 characters of warnings in all."""

UNCHECKED = (
    "the config could not be checked now, through no fault of yours; the operator checks it again "
    "and tells in the condition Accepted"
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
    """Whether the job may be written, with everything that is wrong with it or seldom meant.

    `model` is its model's `config.json`, where that is known.
    """
    if not is_to_be_checked(request):
        return {"allowed": True}
    problems = check_body(request["object"], settings, model)
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
    """Whether a request makes a job, or changes one that is still open to change."""
    if request.get("kind", {}).get("kind") != KIND or request.get("subResource"):
        return False
    match request.get("operation"):
        case "CREATE":
            return True
        case "UPDATE":
            return _is_an_edit(request["oldObject"], request["object"])
    return False


def _is_an_edit(before: Body, after: Body) -> bool:
    """Whether an update changes a spec that is still open to change."""
    # What is being deleted is only written to so that it can go.
    if "deletionTimestamp" in after["metadata"]:
        return False
    # What was accepted once is locked by the API server; stricter rules of today can't be met.
    if is_accepted(before):
        return False
    # A label or annotation must be possible on a job that was let through unchecked.
    return bool(before["spec"] != after["spec"])


def _render_refusal(request: Body, mistakes: Sequence[Problem]) -> Manifest:
    """A `metav1.Status` of the form that the API server's own checks of a schema have."""
    told = [*mistakes[:MAX_MISTAKES]]
    if len(mistakes) > MAX_MISTAKES:
        more = f"and {len(mistakes) - MAX_MISTAKES} more mistakes"
        told.append(Problem(path="spec.config", message=more))
    return {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": _render_message([str(problem) for problem in told]),
        "details": {
            "name": request.get("name", ""),
            "group": GROUP,
            "kind": KIND,
            "causes": [_render_cause(problem) for problem in told],
        },
    }


def _render_message(sentences: Sequence[str]) -> str:
    """One mistake per line, for clients that don't read the causes."""
    if len(sentences) == 1:
        return sentences[0]
    return "\n".join(["the config has mistakes:", *(f"* {sentence}" for sentence in sentences)])


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
        rendered[-1] = f"and {more} more warnings, all of them in the condition Accepted"
    return rendered


def _as_header(text: str) -> str:
    """A header holds one line of printable characters, or the API server drops it."""
    line = "".join(character if character.isprintable() else " " for character in text)
    if len(line) <= MAX_WARNING_LENGTH:
        return line
    return f"{line[: MAX_WARNING_LENGTH - 3]}..."
