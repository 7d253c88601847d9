# SPDX-License-Identifier: Apache-2.0
"""The words that may be values of a metric's labels: each makes series that stay. No I/O here.

A pod names its own reason, whoever may edit a status names a phase, and a proxy's answer a code:
what is not known here is counted as `Other`.
"""

from collections.abc import Collection

from finetune_contract.notes import NoteReason, Severity
from finetune_contract.reasons import Reason
from finetune_operator.objects.names import JobReason, Phase, ScheduleReason

OTHER = "Other"

_NONE = ""
"""A job that was refused has failed without an attempt's reason."""

_OF_KUBERNETES = {
    # Of pods: the kubelet's, the scheduler's and the node controller's.
    *("Evicted", "NodeAffinity", "NodeLost", "NodeShutdown", "Preempting", "Terminated"),
    *("UnexpectedAdmissionError", "PreemptionByScheduler", "DeletionByTaintManager"),
    # Of Jobs.
    *("BackoffLimitExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy"),
}

REASONS = frozenset({*Reason, *JobReason, *ScheduleReason, *_OF_KUBERNETES, _NONE})
"""Why a job or schedule is as it is."""

NOTE_REASONS = frozenset(NoteReason)
SEVERITIES = frozenset(Severity)

RESULTS = frozenset({Phase.SUCCEEDED, Phase.FAILED, "Deleted"})
"""How a job has ended; the last one before it did."""

PHASES = frozenset(Phase)

API_REASONS = frozenset(
    {
        *("AlreadyExists", "BadRequest", "Conflict", "Expired", "Forbidden", "Gone"),
        *("InternalError", "Invalid", "MethodNotAllowed", "NotAcceptable", "NotFound"),
        *("RequestEntityTooLarge", "ServerTimeout", "ServiceUnavailable", "StoreReadError"),
        *("Timeout", "TooManyRequests", "Unauthorized", "UnsupportedMediaType"),
        # Ours: there was no answer.
        "Unreachable",
    }
)
"""`StatusReason` of Kubernetes: why the API server refused a request."""


def label(word: object, known: Collection[str]) -> str:
    """The word where it is known, else `Other`."""
    return str(word) if isinstance(word, str) and word in known else OTHER
