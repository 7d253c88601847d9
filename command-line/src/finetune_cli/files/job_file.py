# SPDX-License-Identifier: Apache-2.0
"""Reads a FineTuneJob from YAML as a cluster would, and turns it into a run. No I/O here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_cli.files.file_check import annotations_of, kind_of, parse_document
from finetune_cli.files.overrides import Override, apply_overrides
from finetune_cli.files.yaml.source_lines import read_documents
from finetune_cli.files.yaml.tree import Found
from finetune_contract.owner import take_over_of
from finetune_contract.reasons import Reason
from finetune_contract.run import JobReference, Run, World, run_id
from finetune_spec.config import SftConfig
from finetune_spec.shape import KIND
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed

LOCAL_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The parts of a FineTuneJob that are needed without a cluster."""

    namespace: str
    name: str
    config: SftConfig
    output_uri: str
    nodes: int
    gpus_per_node: int
    run_token: str | None
    take_over_from: str | None = None
    """The cluster whose job of this name releases its output location."""
    warnings: tuple[str, ...] = ()
    """Warnings about valid but suspicious settings, with file and line."""


def parse_job(
    content: bytes, name: str, *, output: str | None = None, overrides: Sequence[Override] = ()
) -> Job:
    """The FineTuneJob in this YAML; `name` is that of the file, for messages.

    `output` replaces the job's output location for this run, `overrides` are the settings from the
    command line.

    Raises:
        AttemptFailed: there is none, or `finetune validate` would refuse it.
    """
    documents = [*read_documents(content)]
    broken = [
        found for document in documents if not document.is_readable for found in document.found
    ]
    jobs = [document for document in documents if kind_of(document.value) == KIND]
    if broken:
        raise _refusal(name, broken)
    if len(jobs) != 1:
        raise attempt_failed(
            Reason.INVALID_JOB,
            f"{name} contains {len(jobs)} {KIND}s, expected one",
            f"add `kind: {KIND}`",
        )
    document = apply_overrides(jobs[0], overrides)
    found, config = parse_document(document, _as_in_cluster(document.value, output))
    mistakes = [one for one in found if not one.problem.is_warning]
    if mistakes or config is None:
        raise _refusal(name, mistakes)
    metadata, spec = document.value["metadata"], document.value["spec"]
    resources = spec.get("resources") or {}
    return Job(
        namespace=metadata.get("namespace") or LOCAL_NAMESPACE,
        name=metadata.get("name") or "job",
        config=config,
        output_uri=output or spec["output"]["uri"],
        nodes=resources.get("nodes") or 1,
        gpus_per_node=resources.get("gpusPerNode", 1),
        run_token=spec.get("runToken"),
        take_over_from=take_over_of(annotations_of(document.value)),
        warnings=tuple(one.told_in(name) for one in found if one.problem.is_warning),
    )


def run_of(job: Job, output_uri: str, *, processes: int, port: int, gpus: int = 0) -> Run:
    """The run of this job on this machine, with this many of its GPUs."""
    return Run(
        job=JobReference(
            namespace=job.namespace, name=job.name, uid="", take_over_from=job.take_over_from
        ),
        run_id=run_id(job.config.written, job.run_token),
        attempt=1,
        config=job.config.written,
        output_uri=output_uri,
        world=World(nodes=1, processes_per_node=processes, master_port=port, gpus_per_node=gpus),
    )


def processes_here(job: Job, gpus: int) -> int:
    """The number of training processes on this machine: one per GPU that the job requests and the
    machine has.
    """
    return max(1, min(job.gpus_per_node, gpus))


def _as_in_cluster(document: Mapping[str, Any], output: str | None) -> Mapping[str, Any]:
    """The job as a cluster would get it: this machine has its own directories and variables."""
    spec = document.get("spec")
    given = spec.get("output", {} if output else None) if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(given, Mapping):
        return document
    there = {"credentialsSecretRef": {"name": "environment"}, **given}
    if output is not None or str(given.get("uri", "")).startswith("file://"):
        there["uri"] = "s3://bucket/folder"
    return {**document, "spec": {**spec, "output": there}}


def _refusal(name: str, mistakes: list[Found]) -> AttemptFailed:
    return attempt_failed(
        Reason.INVALID_JOB,
        "\n".join(one.told_in(name) for one in mistakes),
        f"change {name} as each line describes; `finetune validate {name}` checks it again",
    )
