# SPDX-License-Identifier: Apache-2.0
"""The allowed values of metric labels: each value creates a permanent series. No I/O here.

A pod sets its own reason, a user who may edit a status sets a phase, and a proxy's response sets a
code: unknown values are counted as `Other`.
"""

from collections.abc import Collection

from finetune_contract.notes import NoteReason, Severity
from finetune_contract.reasons import Reason
from finetune_operator.objects.names import JobReason, Phase, ScheduleReason

OTHER = "Other"

_NONE = ""
"""A rejected job has failed without an attempt's reason."""

_OF_KUBERNETES = {
    # Reasons of pods: from kubelet, scheduler and node controller.
    *("Evicted", "NodeAffinity", "NodeLost", "NodeShutdown", "Preempting", "Terminated"),
    *("UnexpectedAdmissionError", "PreemptionByScheduler", "DeletionByTaintManager"),
    # Reasons of Jobs.
    *("BackoffLimitExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"),
}

REASONS = frozenset({*Reason, *JobReason, *ScheduleReason, *_OF_KUBERNETES, _NONE})
"""Reasons of the state of a job or schedule."""

NOTE_REASONS = frozenset(NoteReason)
SEVERITIES = frozenset(Severity)

RESULTS = frozenset({Phase.SUCCEEDED, Phase.FAILED, "Deleted"})
"""How a job ended; `Deleted` if it was deleted before its end."""

PHASES = frozenset(Phase)

API_REASONS = frozenset(
    {
        *("AlreadyExists", "BadRequest", "Conflict", "Expired", "Forbidden", "Gone"),
        *("InternalError", "Invalid", "MethodNotAllowed", "NotAcceptable", "NotFound"),
        *("RequestEntityTooLarge", "ServerTimeout", "ServiceUnavailable", "StoreReadError"),
        *("Timeout", "TooManyRequests", "Unauthorized", "UnsupportedMediaType"),
        # Our own: there was no response.
        "Unreachable",
    }
)
"""`StatusReason` of Kubernetes: why the API server refused a request."""


def label(word: object, known: Collection[str]) -> str:
    """The word if it is known, else `Other`."""
    return str(word) if isinstance(word, str) and word in known else OTHER
