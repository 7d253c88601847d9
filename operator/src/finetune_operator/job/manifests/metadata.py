# SPDX-License-Identifier: Apache-2.0
"""The metadata that all objects of an attempt share. No I/O here."""

from finetune_contract.run import fingerprint
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.names import (
    ANNOTATION_CONTENT,
    API_VERSION,
    KIND,
    KUEUE_PODSET_PREFIX,
    KUEUE_PREFIX,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_JOB_KEY,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    OPERATOR,
    child_name,
    job_key,
    job_label,
)
from finetune_operator.objects.raw import Manifest


def build_metadata(job: FineTuneJob, attempt: int) -> Manifest:
    return {
        "namespace": job.namespace,
        "name": child_name(job.name, attempt),
        "labels": build_labels(job, attempt),
        # Without blockOwnerDeletion: it would require permission to set finalizers on jobs.
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": job.name,
                "uid": job.uid,
                "controller": True,
            }
        ],
    }


def with_content(manifest: Manifest) -> Manifest:
    """The object with the digest of everything that the operator sets in it."""
    metadata = manifest["metadata"]
    annotations = {
        **metadata.get("annotations", {}),
        ANNOTATION_CONTENT: fingerprint(manifest),
    }
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def build_labels(job: FineTuneJob, attempt: int) -> dict[str, str]:
    label, key = job_label(job.name), job_key(job.name)
    return {
        LABEL_MANAGED_BY: OPERATOR,
        LABEL_JOB: label,
        **({} if key == label else {LABEL_JOB_KEY: key}),
        LABEL_RUN: job.run_id,
        LABEL_ATTEMPT: str(attempt),
    }


def kueue_entries(entries: dict[str, str], prefix: str = KUEUE_PREFIX) -> dict[str, str]:
    """Kueue's labels or annotations: Kueue reads them from the Job it manages."""
    return {name: value for name, value in entries.items() if name.startswith(prefix)}


def kueue_podset_entries(entries: dict[str, str]) -> dict[str, str]:
    """Kueue's annotations for the pod template (topology)."""
    return kueue_entries(entries, KUEUE_PODSET_PREFIX)
