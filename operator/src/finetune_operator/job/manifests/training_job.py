# SPDX-License-Identifier: Apache-2.0
"""The batch/v1 Job that is one attempt. No I/O here."""

import json
from collections.abc import Mapping
from typing import Any

from finetune_contract.outcome import ExitCode
from finetune_operator.job.definitions import SHORT
from finetune_operator.job.manifests.metadata import build_metadata, kueue_entries
from finetune_operator.job.manifests.pod import build_pod_template
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.names import (
    ANNOTATION_ADJUSTMENTS,
    ANNOTATION_DEFINITION,
    ANNOTATION_DIGEST,
    CONTAINER,
)
from finetune_operator.objects.raw import Manifest
from finetune_operator.settings import Settings


def build_training_job(
    job: FineTuneJob,
    attempt: int,
    settings: Settings,
    adjustments: Mapping[str, Any],
    run_digest: str,
) -> Manifest:
    metadata = build_metadata(job, attempt)
    metadata["labels"] |= kueue_entries(dict(job.labels))
    metadata["annotations"] = {
        **kueue_entries(dict(job.annotations)),
        # The status records this too, unless a crash comes first.
        ANNOTATION_DEFINITION: job.definition[:SHORT],
        ANNOTATION_DIGEST: job.definition,
        ANNOTATION_ADJUSTMENTS: json.dumps(dict(adjustments)),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            # Each retry is another Job: the operator decides and counts, not the Job controller.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            **_build_completion(job),
            "template": build_pod_template(job, attempt, settings, run_digest),
        },
    }


def _build_completion(job: FineTuneJob) -> Manifest:
    # Makes the Job's Failed condition quote the exit code: it outlives pod and termination message.
    quote_exit_code = {
        "action": "FailJob",
        "onExitCodes": {"containerName": CONTAINER, "operator": "NotIn", "values": [0]},
    }
    if job.resources.nodes == 1:
        # A pod lost to a drain or a preemption is replaced within the attempt.
        ignore_disruption = {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
        # A pod that was stopped and saved is replaced too: when Kueue preempts the Job it deletes
        # the pod, and the exit must not end the Job.
        ignore_interruption = {
            "action": "Ignore",
            "onExitCodes": {
                "containerName": CONTAINER,
                "operator": "In",
                "values": [ExitCode.INTERRUPTED.value],
            },
        }
        rules = [ignore_disruption, ignore_interruption, quote_exit_code]
        return {
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": {"rules": rules},
        }
    # Ranks that lost a peer cannot continue: any lost pod ends the attempt for all.
    return {
        "completions": job.resources.nodes,
        "parallelism": job.resources.nodes,
        "completionMode": "Indexed",
        "podFailurePolicy": {"rules": [quote_exit_code]},
    }
