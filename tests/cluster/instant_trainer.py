# SPDX-License-Identifier: Apache-2.0
"""A fake of the trainer image: it trains nothing, reports success, and ends immediately.

For tests of many jobs, whose real trainings would be too much for two cores.
"""

import tempfile
from pathlib import Path
from typing import Any

from finetune_contract.mounts import TERMINATION_LOG
from finetune_contract.outcome import Artifact, Outcome
from testbed import images
from testbed.images import Image

TAG = "localhost/instant-trainer:dev"

OUTCOME = Outcome(
    artifact=Artifact(uri="s3://nowhere/adapter", digest="sha256:0", size_bytes=1),
    adapter_verified=True,
    step=1,
    total_steps=1,
    checkpoint_step=1,
    world_size=1,
)


def build() -> None:
    with tempfile.TemporaryDirectory() as context:
        (Path(context) / "outcome.json").write_text(OUTCOME.to_json())
        dockerfile = Path(context) / "Dockerfile"
        dockerfile.write_text(
            "ARG BASE\nFROM ${BASE}\nCOPY --chmod=644 outcome.json /outcome.json\n"
            f'ENTRYPOINT ["cp", "/outcome.json", "{TERMINATION_LOG}"]\n'
        )
        images.build(Image(tag=TAG, dockerfile=dockerfile, context=Path(context)))


def a_job(name: str, namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "config": {
                "model_name_or_path": "s3://models/tiny",
                "dataset_name": "s3://datasets/tiny",
                "bf16": False,
                "use_cpu": True,
            },
            "image": TAG,
            "resources": {"gpusPerNode": 0},
            "output": {"uri": f"s3://models/{name}"},
            "terminationGracePeriodSeconds": 5,
        },
    }
