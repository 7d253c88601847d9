# SPDX-License-Identifier: Apache-2.0
"""Builds the manifests of one attempt from a job.

Door: `build_attempt`.

The job is already validated, so building cannot fail. No I/O here.
"""

from collections.abc import Mapping
from typing import Any

from finetune_contract.run import digest
from finetune_operator.job.manifests.metadata import with_content
from finetune_operator.job.manifests.network_policy import build_network_policy
from finetune_operator.job.manifests.run_document import build_config_map, build_run
from finetune_operator.job.manifests.service import build_service
from finetune_operator.job.manifests.training_job import build_training_job
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.raw import Manifest
from finetune_operator.settings import Settings

__all__ = ["build_attempt"]

NONE: Mapping[str, Any] = {}


def build_attempt(
    job: FineTuneJob, attempt: int, settings: Settings, adjustments: Mapping[str, Any] = NONE
) -> tuple[Manifest, ...]:
    """The objects of an attempt in the order of their creation.

    `adjustments` are the config keys that the attempt sets differently from the user.

    The Job is last: when it exists, everything its pods need exists.
    """
    document = build_run(job, attempt, adjustments, settings.cluster_id).to_json()
    config_map = build_config_map(job, attempt, document)
    training_job = build_training_job(job, attempt, settings, adjustments, digest(document))
    network = _build_network(job, attempt, settings)
    return tuple(map(with_content, (config_map, *network, training_job)))


def _build_network(job: FineTuneJob, attempt: int, settings: Settings) -> tuple[Manifest, ...]:
    """The objects through which the nodes of an attempt reach each other, and no other pod does."""
    if job.resources.nodes == 1:
        return ()
    service = build_service(job, attempt)
    if not settings.has_network_policies:
        return (service,)
    return (service, build_network_policy(job, attempt))
