# SPDX-License-Identifier: Apache-2.0
"""parse_job: the raw FineTuneJob becomes a checked value; nothing downstream sees the raw spec.

Shape and defaults are the API server's business (CRD schema); here is what a schema can't check.
No I/O here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetune_contract.config import Problem
from finetune_contract.job_check import check_job, estimate_job
from finetune_contract.run import run_id
from finetune_operator.errors import InvalidSpec
from finetune_operator.manifest import Body
from finetune_operator.naming import JobKey, job_label
from finetune_operator.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What each node of an attempt asks for."""

    nodes: int
    gpus_per_node: int
    cpu: str | None
    memory: str | None

    @property
    def processes_per_node(self) -> int:
        """One process for each GPU; one on the CPU where there is none."""
        return max(1, self.gpus_per_node)

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneJob:
    """A FineTuneJob whose spec is valid."""

    namespace: str
    name: str
    uid: str
    generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    config: Mapping[str, Any]
    image: str | None
    resources: Resources
    output_uri: str
    credentials_secret: str | None
    max_attempts: int
    """How many attempts may fail without anybody having interrupted them."""
    run_token: str | None
    grace_period: timedelta
    """How long a pod that is told to stop may save and upload."""
    warnings: tuple[str, ...] = ()
    """What of the config runs and is seldom meant, one sentence each."""
    estimated_memory_bytes: int | None = None
    """What each process needs on its GPU, where the model's config.json is known here."""

    @property
    def run_id(self) -> str:
        return run_id(self.config, self.run_token)


def key_of(body: Body) -> JobKey:
    """What a raw FineTuneJob is known by inside the operator."""
    metadata = body["metadata"]
    return JobKey(namespace=metadata["namespace"], label=job_label(metadata["name"]))


def is_accepted(body: Body) -> bool:
    """Whether the status says that the spec was found valid; it locks the spec (CEL in the CRD)."""
    return "runId" in body.get("status", {})


def check_body(
    body: Body, settings: Settings, model: Mapping[str, Any] | None = None
) -> tuple[Problem, ...]:
    """Everything that is wrong with a raw job, or seldom meant; `model` is its `config.json`."""
    return check_job(
        body["spec"],
        trainer_image=settings.trainer_image,
        annotations=body["metadata"].get("annotations"),
        model=model,
        gpu_bytes=settings.gpu_memory_bytes,
    )


def parse_job(
    body: Body, settings: Settings, model: Mapping[str, Any] | None = None
) -> FineTuneJob:
    """`model` is its `config.json`, where that is known.

    Raises:
        InvalidSpec: names every problem of the config.
    """
    metadata, spec = body["metadata"], body["spec"]
    problems = check_body(body, settings, model)
    mistakes = [problem for problem in problems if not problem.is_warning]
    # What was accepted once stays so: the API server locks it, and a newer operator's stricter
    # rules must not stop a run that is under way.
    if mistakes and not is_accepted(body):
        raise InvalidSpec(mistakes)
    output = spec["output"]
    return FineTuneJob(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        config=spec["config"],
        image=spec.get("image"),
        resources=_parse_resources(spec.get("resources", {})),
        output_uri=output["uri"],
        credentials_secret=output.get("credentialsSecretRef", {}).get("name"),
        max_attempts=spec.get("retry", {}).get("maxAttempts", 3),
        run_token=spec.get("runToken"),
        grace_period=timedelta(seconds=spec.get("terminationGracePeriodSeconds", 600)),
        warnings=tuple(str(problem) for problem in problems if problem.is_warning),
        estimated_memory_bytes=(
            None if mistakes else estimate_job(spec, model, trainer_image=settings.trainer_image)
        ),
    )


def _parse_resources(resources: Mapping[str, Any]) -> Resources:
    return Resources(
        nodes=resources.get("nodes", 1),
        gpus_per_node=resources.get("gpusPerNode", 1),
        cpu=_quantity(resources.get("cpu")),
        memory=_quantity(resources.get("memory")),
    )


def _quantity(value: int | str | None) -> str | None:
    return None if value is None else str(value)
