# SPDX-License-Identifier: Apache-2.0
"""The ConfigMap with the run document, which the trainer reads. No I/O here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finetune_contract.mounts import RUN_FILE
from finetune_contract.owner import take_over_of
from finetune_contract.run import JobReference, Run, World
from finetune_operator.job.manifests.metadata import build_metadata
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.names import child_name
from finetune_operator.objects.raw import Manifest


def build_config_map(job: FineTuneJob, attempt: int, document: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": build_metadata(job, attempt),
        "immutable": True,
        "data": {RUN_FILE: document},
    }


def build_run(
    job: FineTuneJob, attempt: int, adjustments: Mapping[str, Any], cluster_id: str | None
) -> Run:
    return Run(
        job=JobReference(
            namespace=job.namespace,
            name=job.name,
            uid=job.uid,
            cluster=cluster_id,
            take_over_from=take_over_of(job.annotations),
        ),
        run_id=job.run_id,
        attempt=attempt,
        config=job.config.written,
        output_uri=job.output_uri,
        world=_build_world(job, attempt),
        adjustments=adjustments,
    )


def _build_world(job: FineTuneJob, attempt: int) -> World:
    resources = job.resources
    world = World(
        nodes=resources.nodes,
        processes_per_node=resources.processes_per_node,
        gpus_per_node=resources.gpus_per_node,
        gpu_resource=resources.gpu_resource,
    )
    if resources.nodes == 1:
        return world
    name = child_name(job.name, attempt)
    # Pod 0 of an Indexed Job, through the headless Service of the same name.
    return replace(world, master_address=f"{name}-0.{name}")
