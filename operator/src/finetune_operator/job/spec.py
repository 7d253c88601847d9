# SPDX-License-Identifier: Apache-2.0
"""parse_job: the raw FineTuneJob becomes a checked value; nothing downstream sees the raw spec.

Shape and defaults are the API server's business (CRD schema); here is what a schema can't check.
No I/O here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from finetune_contract.limits import TEN_YEARS
from finetune_contract.run import fingerprint, run_id
from finetune_operator.job.definitions import is_same_definition, read_definition
from finetune_operator.job.guard_rails import check_guard_rails
from finetune_operator.objects.large import is_outline
from finetune_operator.objects.names import JobKey, job_key
from finetune_operator.objects.raw import Body
from finetune_operator.settings import Settings
from finetune_spec.config import Problem, SftConfig
from finetune_spec.config.bounds import find_beyond
from finetune_spec.job import CheckedSpec, check_job, estimate_job
from finetune_spec.pods.devices import DEFAULT_GPU, NO_GPU_RESOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What each node of an attempt asks for."""

    nodes: int = 1
    gpus_per_node: int = 1
    cpu: str | None = None
    memory: str | None = None
    gpu_resource: str = DEFAULT_GPU
    """What the cluster calls its GPUs; `none` where they come by claims."""
    ephemeral_storage: str | None = None
    shared_memory: str | None = None
    """Size of /dev/shm; the operator's setting without it."""
    claims: tuple[Mapping[str, str], ...] = ()
    """The container's `resources.claims`, as in a pod."""

    @property
    def requested_gpus(self) -> Mapping[str, str]:
        """The limit that asks for them; empty where there is none to set."""
        if self.gpus_per_node == 0 or self.gpu_resource == NO_GPU_RESOURCE:
            return {}
        return {self.gpu_resource: str(self.gpus_per_node)}

    @property
    def processes_per_node(self) -> int:
        """One process for each GPU; one on the CPU where there is none."""
        return max(1, self.gpus_per_node)

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node


_DEFAULT_RESOURCES = Resources()

OPEN_PARTS = ("podTemplate", "modelCache")
"""What of a spec defines no run: it can be changed at any time, and holds for later attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCache:
    """A claim that jobs share for what is downloaded from the hub."""

    claim_name: str
    sub_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneJob:
    """A FineTuneJob, checked."""

    namespace: str
    name: str
    uid: str
    generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    config: SftConfig
    image: str
    resources: Resources
    output_uri: str
    credentials_secret: str | None
    max_attempts: int
    """How many attempts may fail without anybody having interrupted them."""
    run_token: str | None
    grace_period: timedelta
    """How long a pod that is told to stop may save and upload."""
    definition: str
    """Equal for specs that define the same run on the same resources; of a rejected spec that of
    the one before, whose attempt goes on; empty where none was ever accepted."""
    model_cache: ModelCache | None = None
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    """What is laid over the pods, as the user wrote it."""
    mistakes: tuple[str, ...] = ()
    """What is wrong with the spec, or with the open parts of an accepted one: no attempt starts."""
    is_rejected: bool = False
    """Whether its user must edit the spec before it can be accepted."""
    is_suspended: bool = False
    active_deadline: timedelta | None = None
    """How long the job may take in all."""
    start_deadline: timedelta | None = None
    """How long an attempt's pods may take until all of them run."""
    time_to_live: timedelta | None = None
    """How long the children of a finished job are kept; for ever without."""
    warnings: tuple[str, ...] = ()
    """What of the config runs and is seldom meant, one sentence each."""
    estimated_memory_bytes: int | None = None
    """What each process needs on its GPU, where the model's config.json is known here."""

    @property
    def run_id(self) -> str:
        return run_id(self.config.written, self.run_token)


def key_of(body: Body) -> JobKey:
    """What a raw FineTuneJob is known by inside the operator."""
    metadata = body["metadata"]
    return JobKey(namespace=metadata["namespace"], label=job_key(metadata["name"]))


def definition_of(spec: Mapping[str, Any]) -> str:
    """What a raw spec says that defines a run: another definition is another run, or other pods.

    A default that a newer CRD fills in must not change it, or its coming would restart every job.
    One that is beyond the bounds defines nothing, and so never what was accepted.
    """
    if find_beyond(spec, "spec") is not None:
        return ""
    output = {name: value for name, value in spec["output"].items() if value}
    asked = _parse_resources(spec.get("resources", {}))
    resources = {
        name: value
        for name, value in asdict(asked).items()
        if value != getattr(_DEFAULT_RESOURCES, name)
    }
    image, token = spec.get("image") or "", spec.get("runToken") or ""
    return fingerprint([spec["config"], output, resources, image, token])


def is_accepted(body: Body) -> bool:
    """Whether the status says that this spec was found valid; it locks the spec (CEL in the CRD)
    unless that says `onChange: Rerun`."""
    status = body.get("status", {})
    return "runId" in status and not is_redefined(body)


def is_redefined(body: Body) -> bool:
    """Whether the spec was changed to define something else than what the status speaks of.

    Of an outline: whether it was changed at all since it was looked at.
    """
    if is_outline(body):
        seen = body.get("status", {}).get("observedGeneration")
        return bool(body["metadata"]["generation"] != seen)
    known = read_definition(body.get("status", {}))
    return known is not None and not is_same_definition(known, definition_of(body["spec"]))


def check_body(
    body: Body, settings: Settings, model: Mapping[str, Any] | None = None
) -> tuple[Problem, ...]:
    """Everything that is wrong with a raw job, or seldom meant; `model` is its `config.json`."""
    checked = _check_spec(body, settings, model)
    return (*checked.problems, *_check_rails(body, settings, checked))


def _check_spec(body: Body, settings: Settings, model: Mapping[str, Any] | None) -> CheckedSpec:
    return check_job(
        body["spec"],
        trainer_image=settings.trainer_image,
        annotations=body["metadata"].get("annotations"),
        model=model,
        gpu_bytes=settings.gpu_memory_bytes,
    )


def _check_rails(body: Body, settings: Settings, checked: CheckedSpec) -> tuple[Problem, ...]:
    if not checked.is_bounded:
        return ()
    return tuple(check_guard_rails(body["spec"], body["metadata"]["namespace"], settings))


def is_of_open_part(problem: Problem) -> bool:
    """Whether it is about what can be changed in a job that was accepted."""
    return any(problem.path.startswith(f"spec.{part}") for part in OPEN_PARTS)


def parse_job(
    body: Body, settings: Settings, model: Mapping[str, Any] | None = None
) -> FineTuneJob:
    """`model` is its `config.json`, where that is known."""
    metadata, spec, output = body["metadata"], body["spec"], body["spec"]["output"]
    checked = _check_spec(body, settings, model)
    refused = _check_rails(body, settings, checked)
    wrong = [problem for problem in checked.problems if not problem.is_warning]
    mistakes = [*wrong, *refused]
    is_rejected = bool(mistakes) and not is_accepted(body)
    # What was accepted once stays so: the API server locks it, and a newer operator's stricter
    # checks must not stop a run that is under way. What is not locked is looked at again, and the
    # guard rails hold for whatever is about to start.
    still_wrong = [each for each in wrong if is_of_open_part(each)]
    told = mistakes if is_rejected else [*still_wrong, *refused]
    known = read_definition(body.get("status", {})) or ""
    return FineTuneJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        config=checked.config,
        image=spec.get("image") or settings.trainer_image,
        resources=_parse_resources(spec.get("resources", {})),
        output_uri=output["uri"],
        credentials_secret=output.get("credentialsSecretRef", {}).get("name"),
        max_attempts=spec.get("retry", {}).get("maxAttempts", 3),
        run_token=spec.get("runToken"),
        grace_period=timedelta(seconds=spec.get("terminationGracePeriodSeconds", 600)),
        definition=known if is_rejected else definition_of(spec),
        model_cache=_parse_model_cache(spec.get("modelCache")),
        pod_template=(spec.get("podTemplate") or {}) if checked.is_bounded else {},
        mistakes=tuple(map(str, told)),
        is_rejected=is_rejected,
        is_suspended=spec.get("suspend", False),
        active_deadline=_seconds(spec.get("activeDeadlineSeconds")),
        start_deadline=_seconds(spec.get("startDeadlineSeconds")),
        time_to_live=_seconds(spec.get("ttlSecondsAfterFinished")),
        warnings=tuple(str(problem) for problem in checked.problems if problem.is_warning),
        estimated_memory_bytes=None if mistakes else estimate_job(checked),
    )


def _parse_resources(resources: Mapping[str, Any]) -> Resources:
    return Resources(
        nodes=resources.get("nodes", 1),
        gpus_per_node=resources.get("gpusPerNode", 1),
        cpu=_quantity(resources.get("cpu")),
        memory=_quantity(resources.get("memory")),
        gpu_resource=resources.get("gpuResource", DEFAULT_GPU),
        ephemeral_storage=_quantity(resources.get("ephemeralStorage")),
        shared_memory=_quantity(resources.get("sharedMemory")),
        claims=tuple(resources.get("claims") or ()),
    )


def _parse_model_cache(cache: Mapping[str, Any] | None) -> ModelCache | None:
    if cache is None:
        return None
    return ModelCache(claim_name=cache["claimName"], sub_path=cache.get("subPath"))


def _seconds(value: int | None) -> timedelta | None:
    """Objects from before the CRD had a maximum may say any number."""
    return None if value is None else timedelta(seconds=min(value, TEN_YEARS))


def _quantity(value: int | str | None) -> str | None:
    return None if value is None else str(value)
