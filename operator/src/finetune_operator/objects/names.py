# SPDX-License-Identifier: Apache-2.0
"""Every Kubernetes name that this operator uses: resources, labels, reasons, child names.

Names of children are deterministic, total (any job name up to 253 characters has one) and free of
collisions. No I/O here.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

GROUP = "finetune.dev"
VERSION = "v1alpha1"
KIND = "FineTuneJob"
SCHEDULE_KIND = "FineTuneSchedule"
API_VERSION = f"{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of object with the names of its API paths."""

    api_version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        root = "/api" if "/" not in self.api_version else "/apis"
        scope = "" if namespace is None else f"/namespaces/{namespace}"
        tail = "" if name is None else f"/{name}"
        return f"{root}/{self.api_version}{scope}/{self.plural}{tail}"


FINETUNE_JOBS = Resource(api_version=API_VERSION, plural="finetunejobs")
FINETUNE_SCHEDULES = Resource(api_version=API_VERSION, plural="finetuneschedules")
TRAINING_JOBS = Resource(api_version="batch/v1", plural="jobs")
PODS = Resource(api_version="v1", plural="pods")
CONFIG_MAPS = Resource(api_version="v1", plural="configmaps")
SERVICES = Resource(api_version="v1", plural="services")
NETWORK_POLICIES = Resource(api_version="networking.k8s.io/v1", plural="networkpolicies")
NAMESPACES = Resource(api_version="v1", plural="namespaces")
EVENTS = Resource(api_version="v1", plural="events")
LEASES = Resource(api_version="coordination.k8s.io/v1", plural="leases")
WEBHOOK_CONFIGURATIONS = Resource(
    api_version="admissionregistration.k8s.io/v1", plural="validatingwebhookconfigurations"
)
WORKLOADS = tuple(
    Resource(api_version=f"kueue.x-k8s.io/{version}", plural="workloads")
    for version in ("v1beta2", "v1beta1")
)
"""Kueue's; the first version that the cluster serves is used."""
TOKEN_REVIEWS = Resource(api_version="authentication.k8s.io/v1", plural="tokenreviews")

RESOURCES_BY_KIND = {
    "ConfigMap": CONFIG_MAPS,
    "Service": SERVICES,
    "NetworkPolicy": NETWORK_POLICIES,
    "Job": TRAINING_JOBS,
    "Event": EVENTS,
}

OPERATOR = "finetune-operator"
"""The name of Lease, Service, webhook configuration, field manager, reporting component."""
TOTALS = f"{OPERATOR}-totals"
"""The ConfigMap that passes a leader's counters to the next one."""
PROGRESS_FIELD_MANAGER = "finetune-progress"

LABEL_JOB = f"{GROUP}/job"
LABEL_JOB_KEY = f"{GROUP}/job-key"
"""`job_key`, on the children of jobs whose name is too long for a label."""
LABEL_RUN = f"{GROUP}/run"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_SCHEDULE = f"{GROUP}/schedule"
ANNOTATION_SCHEDULED_AT = f"{GROUP}/scheduled-at"
ANNOTATION_DEFINITION = f"{GROUP}/definition"
ANNOTATION_DIGEST = f"{GROUP}/definition-digest"
ANNOTATION_ADJUSTMENTS = f"{GROUP}/adjustments"
ANNOTATION_CONTENT = f"{GROUP}/content"
"""The sha256 of a child as the operator made it: the name alone would also match an older one."""
ANNOTATION_INDEX = "batch.kubernetes.io/job-completion-index"
"""Set by the Job controller on each pod of several nodes: the index of the pod."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

KUEUE_PREFIX = "kueue.x-k8s.io/"
KUEUE_PODSET_PREFIX = "kueue.x-k8s.io/podset-"
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
LABEL_JOB_UID = "kueue.x-k8s.io/job-uid"

CONTAINER = "trainer"


class Phase(StrEnum):
    """The one-word summary of a job's conditions."""

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    PUBLISHING = "Publishing"
    RETRYING = "Retrying"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class JobReason(StrEnum):
    """The operator's own reasons in conditions and events: never changed, because scripts read
    them.
    """

    INVALID_SPEC = "InvalidSpec"
    SPEC_ACCEPTED = "SpecAccepted"
    WAITING = "Waiting"
    CREATE_REFUSED = "CreateRefused"
    INTERNAL_ERROR = "InternalError"
    QUEUED = "Queued"
    PREEMPTED = "Preempted"
    ADMITTED = "Admitted"
    RESUMED = "Resumed"
    STOPPING = "Stopping"
    INTERRUPTED = "Interrupted"
    ATTEMPT_STARTED = "AttemptStarted"
    PODS_NOT_RUNNING = "PodsNotRunning"
    NODE_NOT_READY = "NodeNotReady"
    PREPARING = "Preparing"
    TRAINING = "Training"
    CHECKPOINTS_NOT_SAVED = "CheckpointsNotSaved"
    PUBLISHING = "Publishing"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    VERIFIED = "Verified"
    NOT_VERIFIED = "NotVerified"


class ScheduleReason(StrEnum):
    """Reasons of a schedule's conditions and Events; the same as CronJob's where it has one."""

    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    JOB_ALREADY_ACTIVE = "JobAlreadyActive"
    MISS_SCHEDULE = "MissSchedule"
    TOO_MANY_MISSED_TIMES = "TooManyMissedTimes"
    SUCCESSFUL_CREATE = "SuccessfulCreate"
    FAILED_CREATE = "FailedCreate"
    SUCCESSFUL_DELETE = "SuccessfulDelete"
    SAW_COMPLETED_JOB = "SawCompletedJob"
    MISSING_JOB = "MissingJob"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class JobKey:
    """The key of a job and its children inside the operator: they all have both parts."""

    namespace: str
    label: str
    """`job_key` of the job's name."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.label}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScheduleKey:
    """The key of a schedule inside the operator."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Key = JobKey | ScheduleKey


# Pods of an Indexed Job are named `<job>-<index>-<5 characters>` and their hostnames
# `<job>-<index>`; 46 leaves room for `-<attempt>` and both of these within 63.
_MAX_STEM = 46
_HASH_LENGTH = 10
"""In names of objects, which are verified by their owner's uid."""
_KEY_HASH_LENGTH = 32
_PLAIN_STEM = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LOOKS_HASHED = re.compile(rf".*-[0-9a-f]{{{_HASH_LENGTH}}}")


def child_name(job_name: str, attempt: int) -> str:
    """The name of an attempt's objects: a DNS label that begins with a letter."""
    return f"{_stem(job_name)}-{attempt}"


def job_label(job_name: str) -> str:
    """The label value by which the children of a job are selected.

    Names beyond 63 characters can be made to collide: selected objects are verified by `job_key`
    and by their owner's uid.
    """
    return _cut(job_name, _HASH_LENGTH)


def job_key(job_name: str) -> str:
    """A value that is unique to a job name in its namespace; a shortened name includes 128 bits of
    a hash.
    """
    return _cut(job_name, _KEY_HASH_LENGTH)


def _cut(job_name: str, length: int) -> str:
    if len(job_name) <= 63:
        return job_name
    # A job's name cannot contain an underscore, so no short name equals a shortened one.
    return f"{job_name[: 62 - length].rstrip('.-')}_{_hash(job_name, length)}"


# Leaves room for `-<unix minute>` within the 253 of an object's name.
_MAX_SCHEDULE = 240


def scheduled_name(schedule_name: str, moment: datetime) -> str:
    """The name of the job of a scheduled time, named like a CronJob's Jobs: one for each minute."""
    minute = int(moment.timestamp()) // 60
    is_short = len(schedule_name) < _MAX_SCHEDULE
    if is_short or (
        len(schedule_name) == _MAX_SCHEDULE and not _LOOKS_HASHED.fullmatch(schedule_name)
    ):
        return f"{schedule_name}-{minute}"
    readable = schedule_name[: _MAX_SCHEDULE - _HASH_LENGTH - 1]
    # Exactly the maximum length, so that no shorter name equals it.
    filled = readable.rstrip(".-").ljust(len(readable), "x")
    return f"{filled}-{_hash(schedule_name)}-{minute}"


def event_name(job_name: str, *distinguishing: str) -> str:
    """A name that is the same for a repeated report, so that it is reported once."""
    return f"{_stem(job_name)}.{_hash('/'.join(distinguishing))}"


def _stem(job_name: str) -> str:
    is_plain = len(job_name) <= _MAX_STEM and _PLAIN_STEM.fullmatch(job_name)
    # A plain name that looks like a hashed one is hashed as well, so that names cannot collide.
    if is_plain and not _LOOKS_HASHED.fullmatch(job_name):
        return job_name
    readable = re.sub(r"[^a-z0-9]+", "-", job_name)[: _MAX_STEM - _HASH_LENGTH - 1].strip("-")
    if not readable[:1].isalpha():
        readable = f"j-{readable}"[: _MAX_STEM - _HASH_LENGTH - 1].strip("-")
    return f"{readable}-{_hash(job_name)}"


def _hash(text: str, length: int = _HASH_LENGTH) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
