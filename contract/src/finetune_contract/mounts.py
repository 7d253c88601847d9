# SPDX-License-Identifier: Apache-2.0
"""Paths and environment variables inside the trainer container. No I/O here."""

RUN_FOLDER = "/etc/finetune"
RUN_FILE = "run.json"
RUN_DOCUMENT = f"{RUN_FOLDER}/{RUN_FILE}"
"""The run document, mounted from the attempt's ConfigMap."""

WORK_FOLDER = "/work"
"""An emptyDir: model, data, checkpoints, caches. The root filesystem is read-only."""

TOKEN_FOLDER = "/var/run/secrets/finetune.dev"
TOKEN_FILE = "token"
"""The projected service-account token that authenticates progress reports."""

MODEL_CACHE_FOLDER = "/var/cache/finetune"
"""A claim that jobs share, where `spec.modelCache` names one: what is downloaded from the hub, and
what is compiled for a GPU."""

COMPILED_CACHES = {
    "TRITON_CACHE_DIR": f"{MODEL_CACHE_FOLDER}/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{MODEL_CACHE_FOLDER}/inductor",
}
"""Environment variable -> folder in that claim, for what is compiled. A job may set them to another
place. Both are safe for several writers: each writes a file of its own and renames it."""

TERMINATION_LOG = "/dev/termination-log"

ENV_PROGRESS_URL = "KUBEFLOW_TRAINER_SERVER_URL"
ENV_PROGRESS_TOKEN = "KUBEFLOW_TRAINER_SERVER_TOKEN"
"""A path, not the token. Both are the names that the stock `KubeflowCallback` reads."""

ENV_NODE_RANK = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job; absent on a single node."""

ENV_GRACE_SECONDS = "FINETUNE_GRACE_SECONDS"
"""The pod's termination grace period: what the trainer has to save and upload after a SIGTERM."""

ENV_START_SECONDS = "FINETUNE_START_SECONDS"
"""How long the nodes of an attempt wait for each other: the job's `startDeadlineSeconds`. Absent on
a single node, and from an older operator."""

ENV_RUN_DIGEST = "FINETUNE_RUN_DIGEST"
"""The sha256 of the run document that the pods' Job was made for; an older operator sets none."""

ENV_HANG_SECONDS = "FINETUNE_HANG_SECONDS"
"""After how long without any progress the ranks are taken to hang; 0 for never. A user sets it in
the config's `env`; without it the trainer judges by the longest pause so far."""


def progress_audience(namespace: str, name: str, uid: str) -> str:
    """The audience of a job's progress tokens: no other job's token is good for it."""
    return f"finetune.dev/{namespace}/{name}/{uid}"
