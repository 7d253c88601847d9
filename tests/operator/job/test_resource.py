# SPDX-License-Identifier: Apache-2.0
"""The CustomResourceDefinition has every field that is read or written: it drops the others."""

from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_contract.progress import Progress, TrainerPhase
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.decision import Decision
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.status.progress import render_progress
from finetune_operator.job.status.status import next_status
from finetune_operator.objects.names import Phase
from support.factories import NOW, a_bad_outcome, a_failure, a_good_outcome, a_job, an_attempt
from support.resource_schema import CRD, SCHEMA, VERSION, assert_fits

ATTEMPT = an_attempt(
    result=Result.FAILED,
    failure=a_failure(Category.USER, phase="Training", rank=1),
    exit_code=64,
    last_step=9,
    resumed_from_step=5,
    steps_lost=1,
)
EVERYTHING = Progress(
    phase=TrainerPhase.TRAINING,
    step=1,
    total_steps=2,
    epoch=0.5,
    loss=1.0,
    eval_loss=1.0,
    learning_rate=1e-4,
    tokens_per_second=1.0,
    eta_seconds=1,
    resumed_from_step=0,
    checkpoint_step=0,
    world_size=1,
)


def a_status(phase: Phase, **seen: Any) -> dict[str, Any]:
    previous = {"progress": render_progress(EVERYTHING, 1, NOW)}
    decision = Decision(phase=phase, reason="Because", message="so it is")
    observed = Observed(attempts=(ATTEMPT,), **seen)
    return next_status(previous, a_job(), observed, decision, NOW)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(a_status(Phase.SUCCEEDED, outcome=a_good_outcome()), id="succeeded"),
        pytest.param(a_status(Phase.FAILED, outcome=a_bad_outcome()), id="failed"),
        pytest.param(a_status(Phase.RUNNING), id="running"),
    ],
)
def test_every_field_of_a_status_is_in_the_schema(status: dict[str, Any]) -> None:
    assert_fits(status, SCHEMA["status"])


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_is_in_the_schema(phase: Phase) -> None:
    assert phase.value in SCHEMA["status"]["properties"]["phase"]["enum"]


def test_the_columns_of_kubectl_get_are_stable() -> None:
    columns = VERSION["additionalPrinterColumns"]
    narrow = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]

    assert narrow == ["PHASE", "PROGRESS", "STEP", "LOSS", "ETA", "GPUS", "ATTEMPT", "NOTE", "AGE"]
    assert wide == ["QUEUE", "TOKENS/S", "MODEL", "OUTPUT", "REASON"]


def test_the_crd_is_small_enough_to_be_applied() -> None:
    assert CRD.stat().st_size < 256 * 1024


def described(schema: dict[str, Any], path: str) -> list[str]:
    """The fields of a spec without a description."""
    found = []
    for name, field in schema.get("properties", {}).items():
        if "description" not in field:
            found.append(f"{path}.{name}")
        found += described(field, f"{path}.{name}")
    return found


def test_every_field_of_the_spec_is_explained() -> None:
    assert described(SCHEMA["spec"], "spec") == []


def test_only_run_defining_fields_are_immutable() -> None:
    rules = VERSION["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    locked = {rule["fieldPath"].removeprefix(".spec.") for rule in rules}

    assert locked == {"config", "output", "resources", "image"}
