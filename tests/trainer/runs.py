# SPDX-License-Identifier: Apache-2.0
"""Builders of runs and of directories, so that a test states only its subject."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_contract.run import JobReference, Run, World
from finetune_trainer.plan.parsed_run import ParsedRun, parse_run

CONFIG: Mapping[str, Any] = {
    "model_name_or_path": "s3://models/tiny",
    "dataset_name": "s3://datasets/tiny",
    "use_peft": True,
}


def a_run(
    *,
    output: str = "s3://models/balloon",
    world: World | None = None,
    adjustments: Mapping[str, Any] | None = None,
    name: str = "balloon",
    uid: str = "uid-1",
    cluster: str | None = None,
    take_over_from: str | None = None,
    **config: Any,
) -> Run:
    return Run(
        job=JobReference(
            namespace="team-a", name=name, uid=uid, cluster=cluster, take_over_from=take_over_from
        ),
        run_id="0123456789",
        attempt=1,
        config={**CONFIG, **config},
        output_uri=output,
        world=world or World(),
        adjustments=adjustments or {},
    )


def a_parsed_run(**given: Any) -> ParsedRun:
    """The same, in the trainer's form."""
    return parse_run(a_run(**given))


def a_folder(place: Path, files: Mapping[str, bytes]) -> Path:
    """A directory with these files."""
    for name, body in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return place
