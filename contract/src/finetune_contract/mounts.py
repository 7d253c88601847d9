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
"""A claim that jobs share, if `spec.modelCache` names one: for downloads from the hub, and for
kernels compiled for a GPU.
"""

COMPILED_CACHES = {
    "TRITON_CACHE_DIR": f"{MODEL_CACHE_FOLDER}/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{MODEL_CACHE_FOLDER}/inductor",
}
"""Environment variable -> directory in that claim, for compiled kernels. A job may set them to
another path. Both are safe for several writers: each writes a separate file and renames it.
"""

TERMINATION_LOG = "/dev/termination-log"

ENV_PROGRESS_URL = "KUBEFLOW_TRAINER_SERVER_URL"
ENV_PROGRESS_TOKEN = "KUBEFLOW_TRAINER_SERVER_TOKEN"
"""A path, not the token. The stock `KubeflowCallback` reads both names."""

ENV_NODE_RANK = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job; absent on a single node."""

ENV_GRACE_SECONDS = "FINETUNE_GRACE_SECONDS"
"""The pod's termination grace period: the trainer's time to save and upload after a SIGTERM."""

ENV_START_SECONDS = "FINETUNE_START_SECONDS"
"""How long the nodes of an attempt wait for each other: the job's `startDeadlineSeconds`. Absent on
a single node, and from an older operator."""

ENV_RUN_DIGEST = "FINETUNE_RUN_DIGEST"
"""The sha256 of the run document that the pods' Job was made for; an older operator sets none."""

ENV_HANG_SECONDS = "FINETUNE_HANG_SECONDS"
"""After how long without progress the ranks count as hung; 0 for never. A user sets it in the
config's `env`; by default the trainer derives it from the longest pause so far.
"""


def progress_audience(namespace: str, name: str, uid: str) -> str:
    """The audience of a job's progress tokens: another job's token is not valid for it."""
    return f"finetune.dev/{namespace}/{name}/{uid}"
