# SPDX-License-Identifier: Apache-2.0
"""The headless Service that gives the nodes of an attempt their DNS names. No I/O here."""

from finetune_contract.run import MASTER_PORT
from finetune_operator.job.manifests.metadata import build_labels, build_metadata
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.raw import Manifest


def build_service(job: FineTuneJob, attempt: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": build_metadata(job, attempt),
        "spec": {
            "clusterIP": "None",
            # The ranks must find each other before they can become ready.
            "publishNotReadyAddresses": True,
            "selector": build_labels(job, attempt),
            "ports": [{"name": "rendezvous", "port": MASTER_PORT}],
        },
    }
