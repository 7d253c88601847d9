# SPDX-License-Identifier: Apache-2.0
"""The CustomResourceDefinition of schedules: a job's own spec, every field of a status, a CronJob's
columns; and the example, as an API server would take it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_operator.schedule.spec import check_schedule_body
from repository.crd_config import CRD as JOBS
from repository.schedule_crd import CRD, with_job_spec
from support.factories import SETTINGS
from support.resource_schema import SCHEMA as JOB_SCHEMA
from support.resource_schema import assert_fits
from support.simulated_schedule import live

(VERSION,) = yaml.load(CRD.read_text(), yaml.CSafeLoader)["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]
TEMPLATE = SCHEMA["spec"]["properties"]["jobTemplate"]["properties"]
EXAMPLE = Path(__file__).parents[3] / "configs" / "examples" / "nightly.yaml"
LARGEST_ANNOTATION = 256 * 1024
"""`kubectl apply` keeps the complete CRD in one, as JSON."""


def test_the_job_template_has_the_spec_of_a_job() -> None:
    assert TEMPLATE["spec"] == JOB_SCHEMA["spec"]
    assert CRD.read_text() == with_job_spec(CRD.read_text(), JOBS.read_text()), "run make generate"


def test_the_crd_is_small_enough_to_be_applied() -> None:
    kept = json.dumps(yaml.load(CRD.read_text(), yaml.CSafeLoader), separators=(",", ":"))

    assert len(kept) < LARGEST_ANNOTATION / 2
    assert CRD.name in (CRD.parent / "Kustomization").read_text()


def test_the_columns_are_those_of_a_cronjob_and_the_next_time() -> None:
    columns = [it["name"] for it in VERSION["additionalPrinterColumns"] if not it.get("priority")]

    assert columns == ["Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Next", "Age"]


def test_the_defaults_are_those_of_a_cronjob() -> None:
    fields = SCHEMA["spec"]["properties"]
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}

    assert defaults == {
        "suspend": False,
        "concurrencyPolicy": "Allow",
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }


@pytest.mark.parametrize("seed", range(4))
def test_every_field_of_a_status_is_in_the_schema(seed: int) -> None:
    assert_fits(live(seed, steps=20).status, SCHEMA["status"])


def test_every_field_is_explained() -> None:
    fields: dict[str, Any] = {**SCHEMA["spec"]["properties"], **SCHEMA["status"]["properties"]}

    assert [name for name, field in fields.items() if "description" not in field] == []


def test_the_example_is_valid() -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    example["metadata"]["namespace"] = "team"

    assert_fits(example["spec"], SCHEMA["spec"])
    assert check_schedule_body(example, SETTINGS) == ()
