# SPDX-License-Identifier: Apache-2.0
"""parse_job: turns the raw FineTuneJob into a checked value; no later step sees the raw spec.

The API server checks shape and defaults (CRD schema); this module checks the rest. No I/O here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

from finetune_contract.limits import TEN_YEARS
from finetune_contract.run import fingerprint, run_id
from finetune_operator.job.definitions import is_same_definition, read_definition
from finetune_operator.job.guard_rails import check_guard_rails
from finetune_operator.job.resources import DEFAULT_RESOURCES, Resources, parse_resources
from finetune_operator.objects.large import is_outline
from finetune_operator.objects.names import JobKey, job_key
from finetune_operator.objects.raw import Body
from finetune_operator.settings import Settings
from finetune_spec.config import Problem, SftConfig
from finetune_spec.config.bounds import find_beyond
from finetune_spec.job import CheckedSpec, KnownModel, check_job, estimate_job
from finetune_spec.pods import check_passed_on
from finetune_spec.pods.passed_on import is_of_passed_on

OPEN_PARTS = ("podTemplate", "modelCache")
"""Parts of the spec that define no run: they can change at any time, for later attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCache:
    """A claim that jobs share for downloads from the hub."""

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
    """How many attempts may fail, not counting interruptions."""
    run_token: str | None
    run_id: str
    grace_period: timedelta
    """How long a stopping pod may save and upload."""
    definition: str
    """Equal for specs that define the same run on the same resources. For a rejected spec, the
    definition before it, whose attempt continues; empty if none was ever accepted.
    """
    model_cache: ModelCache | None = None
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    """The pod template that is merged into the pods, as the user wrote it."""
    mistakes: tuple[str, ...] = ()
    """Problems of the spec, or of the open parts of an accepted one: no attempt starts."""
    is_rejected: bool = False
    """Whether its user must edit the spec before it can be accepted."""
    is_suspended: bool = False
    active_deadline: timedelta | None = None
    """The time limit of the job in total."""
    start_deadline: timedelta | None = None
    """How long an attempt's pods may take until all of them run."""
    time_to_live: timedelta | None = None
    """How long the children of a finished job are kept; None for no limit."""
    warnings: tuple[str, ...] = ()
    """Warnings about valid but suspicious settings of the config, one sentence each."""
    estimated_memory_bytes: int | None = None
    """The memory that each process needs on its GPU, if the model's config.json is known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSpec:
    """Everything of a spec that takes time to compute, independent of the job's status."""

    config: SftConfig
    run_id: str
    definition: str
    problems: tuple[Problem, ...]
    """Errors and warnings of the spec itself."""
    refused: tuple[Problem, ...]
    """Parts that the platform team does not allow."""
    is_bounded: bool
    estimated_memory_bytes: int | None


SpecReader = Callable[[Body, Settings, KnownModel | None], ReadSpec]


def key_of(body: Body) -> JobKey:
    """The key of a raw FineTuneJob inside the operator."""
    metadata = body["metadata"]
    return JobKey(namespace=metadata["namespace"], label=job_key(metadata["name"]))


def definition_of(spec: Mapping[str, Any]) -> str:
    """The hash of the parts of a raw spec that define a run: another definition is another run, or
    other pods.

    A default that a newer CRD fills in must not change it, or a CRD upgrade would restart every
    job. A spec beyond the bounds defines nothing, so it never equals an accepted one.
    """
    return "" if find_beyond(spec, "spec") is not None else _hash_definition(spec)


def _hash_definition(spec: Mapping[str, Any]) -> str:
    output = {name: value for name, value in spec["output"].items() if value}
    asked = parse_resources(spec.get("resources", {}))
    resources = {
        name: value
        for name, value in asdict(asked).items()
        if value != getattr(DEFAULT_RESOURCES, name)
    }
    image, token = spec.get("image") or "", spec.get("runToken") or ""
    return fingerprint([spec["config"], output, resources, image, token])


def is_accepted(body: Body) -> bool:
    """Whether the status records this spec as valid; then the CRD's CEL locks the spec unless
    `onChange: Rerun` is set.
    """
    return "runId" in body.get("status", {}) and not is_redefined(body)


def is_accepted_as(status: Mapping[str, Any], definition: str) -> bool:
    """The same for a spec whose definition is known."""
    known = read_definition(status)
    return "runId" in status and (known is None or is_same_definition(known, definition))


def is_redefined(body: Body) -> bool:
    """Whether the spec now defines something else than the status records.

    For an outline: whether it was changed at all since the last pass.
    """
    if is_outline(body):
        seen = body.get("status", {}).get("observedGeneration")
        return bool(body["metadata"]["generation"] != seen)
    known = read_definition(body.get("status", {}))
    return known is not None and not is_same_definition(known, definition_of(body["spec"]))


def check_body(
    body: Body, settings: Settings, model: KnownModel | None = None
) -> tuple[Problem, ...]:
    """All errors and warnings of a raw job."""
    checked = _check_spec(body, settings, model)
    return (*checked.problems, *_check_rails(body, settings, checked))


def _check_spec(body: Body, settings: Settings, model: KnownModel | None) -> CheckedSpec:
    checked = check_job(
        body["spec"],
        trainer_image=settings.trainer_image,
        annotations=body["metadata"].get("annotations"),
        model=model,
        gpu_bytes=settings.gpu_memory_bytes,
    )
    if not checked.is_bounded:
        return checked
    passed_on = check_passed_on(body["metadata"], body["spec"])
    return replace(checked, problems=(*checked.problems, *passed_on))


def _check_rails(body: Body, settings: Settings, checked: CheckedSpec) -> tuple[Problem, ...]:
    if not checked.is_bounded:
        return ()
    return tuple(check_guard_rails(body["spec"], body["metadata"]["namespace"], settings))


def is_of_open_part(problem: Problem) -> bool:
    """Whether it is about a part that can be changed in an accepted job."""
    open_parts = tuple(f"spec.{part}" for part in OPEN_PARTS)
    return problem.path.startswith(open_parts) or is_of_passed_on(problem)


def read_spec(body: Body, settings: Settings, model: KnownModel | None = None) -> ReadSpec:
    """Depends on the spec, the annotations, the namespace, the settings and the model only."""
    spec = body["spec"]
    checked = _check_spec(body, settings, model)
    refused = _check_rails(body, settings, checked)
    is_right = not refused and all(problem.is_warning for problem in checked.problems)
    return ReadSpec(
        config=checked.config,
        run_id=run_id(checked.config.written, spec.get("runToken")),
        definition=_hash_definition(spec) if checked.is_bounded else "",
        problems=checked.problems,
        refused=refused,
        is_bounded=checked.is_bounded,
        estimated_memory_bytes=estimate_job(checked) if is_right else None,
    )


def parse_job(
    body: Body,
    settings: Settings,
    model: KnownModel | None = None,
    read: SpecReader = read_spec,
) -> FineTuneJob:
    """`read` is `read_spec`, or a cache of it."""
    metadata, spec, output = body["metadata"], body["spec"], body["spec"]["output"]
    said, status = read(body, settings, model), body.get("status", {})
    wrong = [problem for problem in said.problems if not problem.is_warning]
    mistakes = [*wrong, *said.refused]
    # A spec beyond the bounds was not read: no status, edited by hand or not, makes it accepted.
    is_known = said.is_bounded and is_accepted_as(status, said.definition)
    is_rejected = bool(mistakes) and not is_known
    # An accepted spec stays accepted: the API server locks it, and a newer operator's stricter
    # checks must not stop a running attempt. Unlocked parts are checked again, and the guard rails
    # apply to every attempt that is about to start.
    still_wrong = [each for each in wrong if is_of_open_part(each)]
    told = mistakes if is_rejected else [*still_wrong, *said.refused]
    return FineTuneJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        config=said.config,
        image=spec.get("image") or settings.trainer_image,
        resources=parse_resources(spec.get("resources", {})),
        output_uri=output["uri"],
        credentials_secret=output.get("credentialsSecretRef", {}).get("name"),
        max_attempts=spec.get("retry", {}).get("maxAttempts", 3),
        run_token=spec.get("runToken"),
        run_id=said.run_id,
        grace_period=timedelta(seconds=spec.get("terminationGracePeriodSeconds", 600)),
        definition=(read_definition(status) or "") if is_rejected else said.definition,
        model_cache=_parse_model_cache(spec.get("modelCache")),
        pod_template=(spec.get("podTemplate") or {}) if said.is_bounded else {},
        mistakes=tuple(map(str, told)),
        is_rejected=is_rejected,
        is_suspended=spec.get("suspend", False),
        active_deadline=_seconds(spec.get("activeDeadlineSeconds")),
        start_deadline=_seconds(spec.get("startDeadlineSeconds")),
        time_to_live=_seconds(spec.get("ttlSecondsAfterFinished")),
        warnings=tuple(str(problem) for problem in said.problems if problem.is_warning),
        estimated_memory_bytes=said.estimated_memory_bytes,
    )


def _parse_model_cache(cache: Mapping[str, Any] | None) -> ModelCache | None:
    if cache is None:
        return None
    return ModelCache(claim_name=cache["claimName"], sub_path=cache.get("subPath"))


def _seconds(value: int | None) -> timedelta | None:
    """Objects from before the CRD had a maximum may contain any number."""
    return None if value is None else timedelta(seconds=min(value, TEN_YEARS))
