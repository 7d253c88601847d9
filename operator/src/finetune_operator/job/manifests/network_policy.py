# SPDX-License-Identifier: Apache-2.0
"""The NetworkPolicy that keeps other pods away from the nodes of an attempt. No I/O here.

A pod that can reach the rendezvous, or a port of NCCL or gloo, can take part in the training: none
of them authenticates. Their ports are not known in advance, so all are closed. Egress is not
restricted: store, hub, DNS, progress.
"""

from finetune_operator.job.manifests.metadata import build_labels, build_metadata
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.objects.raw import Manifest


def build_network_policy(job: FineTuneJob, attempt: int) -> Manifest:
    # Labels that no podTemplate can set: the operator's override those of a job.
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
