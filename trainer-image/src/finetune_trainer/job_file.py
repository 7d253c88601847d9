# SPDX-License-Identifier: Apache-2.0
"""Reads a FineTuneJob from YAML as the API server would, and makes a run of it. No I/O here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from finetune_contract.run import JobReference, Run, World, run_id
from finetune_trainer.failures import user_error

KIND = "FineTuneJob"
LOCAL_NAMESPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What of a FineTuneJob matters without a cluster."""

    namespace: str
    name: str
    config: Mapping[str, Any]
    output_uri: str | None
    nodes: int
    gpus_per_node: int
    run_token: str | None


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of YAML 1.2, which is what Kubernetes reads."""


# PyYAML wants a dot in every float and reads 1e-4 as a string.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_job(text: str, name: str) -> Job:
    """The FineTuneJob in this YAML; `name` is the file's, for messages.

    Raises:
        AttemptFailed: there is none, or it lacks something.
    """
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document]
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise user_error("InvalidJob", f"{name} is not YAML: {problem}", "correct it") from None
    jobs = [
        document
        for document in documents
        if isinstance(document, dict) and document.get("kind") == KIND
    ]
    if len(jobs) != 1:
        raise user_error(
            "InvalidJob", f"{name} holds {len(jobs)} {KIND}s, expected one", f"add `kind: {KIND}`"
        )
    metadata, spec = _section(jobs[0], "metadata", name), _section(jobs[0], "spec", name)
    resources, output = spec.get("resources") or {}, spec.get("output") or {}
    return Job(
        namespace=str(metadata.get("namespace") or LOCAL_NAMESPACE),
        name=str(metadata.get("name") or "job"),
        config=_section(spec, "config", f"{name}: spec"),
        output_uri=output.get("uri"),
        nodes=int(resources.get("nodes") or 1),
        gpus_per_node=int(resources.get("gpusPerNode") or 0),
        run_token=spec.get("runToken"),
    )


def run_of(job: Job, output_uri: str, *, processes: int, port: int) -> Run:
    """The run of this job on this machine."""
    return Run(
        job=JobReference(namespace=job.namespace, name=job.name, uid=""),
        run_id=run_id(job.config, job.run_token),
        attempt=1,
        config=job.config,
        output_uri=output_uri,
        world=World(nodes=1, processes_per_node=processes, master_port=port),
    )


def processes_here(job: Job, gpus: int) -> int:
    """How many processes train on this machine: one per GPU that the job asks for and finds."""
    return max(1, min(job.gpus_per_node, gpus))


def _section(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    section = document.get(key)
    if not isinstance(section, dict):
        raise user_error(
            "InvalidJob",
            f"{where} has no {key}, or it is no mapping",
            f"add `{key}:` as in configs/examples/first-job.yaml",
        )
    return section
