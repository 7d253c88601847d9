# SPDX-License-Identifier: Apache-2.0
"""The NetworkPolicy that keeps other pods away from the nodes of an attempt. No I/O here.

Whoever reaches the rendezvous, or a port of NCCL's or gloo's, can take part in the training: none
of them asks who it is. Their ports are not known beforehand, so all are closed. Egress stays as it
is: store, hub, DNS, progress.
"""

from finetune_operator.job.manifests.metadata import build_labels, build_metadata
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.raw import Manifest


def build_network_policy(job: FineTuneJob, attempt: int) -> Manifest:
    # Labels that no podTemplate can set: those of the operator win over a job's own.
    nodes = {"matchLabels": build_labels(job, attempt)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(job, attempt),
        "spec": {
            "podSelector": nodes,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": nodes}]}],
        },
    }
