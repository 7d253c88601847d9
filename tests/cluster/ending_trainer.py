# SPDX-License-Identifier: Apache-2.0
"""A fake of the trainer image: it trains nothing, and ends immediately as its job specifies.

For tests of the pod's end that do not depend on training.
"""

import tempfile
from pathlib import Path
from typing import Any

from cluster import instant_trainer
from finetune_contract.mounts import TERMINATION_LOG
from finetune_contract.outcome import Category, ExitCode, Failure, Outcome
from testbed import images
from testbed.images import Image

TAG = "localhost/ending-trainer:dev"
VARIABLE = "ENDS_AS"

NOT_FOUND = Outcome(
    failure=Failure(
        category=Category.USER,
        reason="ModelNotFound",
        message="s3://models/tiny holds no model",
        remedy="correct model_name_or_path",
    )
)
ENDINGS = {"succeeded": instant_trainer.OUTCOME, "not-found": NOT_FOUND}
"""By the variable's value."""

_SCRIPT = f"""\
#!/bin/sh
cp "/$ENDS_AS.json" {TERMINATION_LOG}
[ "$ENDS_AS" = succeeded ] || exit {ExitCode.USER.value}
"""


def build() -> None:
    with tempfile.TemporaryDirectory() as context:
        folder = Path(context)
        for name, outcome in ENDINGS.items():
            (folder / f"{name}.json").write_text(outcome.to_json())
        (folder / "end.sh").write_text(_SCRIPT)
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(
            "ARG BASE\nFROM ${BASE}\nCOPY --chmod=644 *.json /\nCOPY --chmod=755 end.sh /end.sh\n"
            f'ENV {VARIABLE}=succeeded\nENTRYPOINT ["/end.sh"]\n'
        )
        images.build(Image(tag=TAG, dockerfile=dockerfile, context=folder))


def a_job(name: str, namespace: str, ends_as: str = "succeeded", **spec: Any) -> dict[str, Any]:
    """A job whose pods are deleted quickly, and that is tried once."""
    job = instant_trainer.a_job(name, namespace)
    container = {"name": "trainer", "env": [{"name": VARIABLE, "value": ends_as}]}
    pod = {"spec": {"containers": [container]}}
    job["spec"] |= {"image": TAG, "podTemplate": pod, "retry": {"maxAttempts": 1}, **spec}
    return job
