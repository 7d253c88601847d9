# SPDX-License-Identifier: Apache-2.0
"""Without an API server a job gets the same checks, with messages that contain the correction."""

import json
from typing import Any

import pytest
import yaml

from finetune_spec.shape import check_shape, job_schema
from repository.crd_config import CRD
from repository.job_schema import SCHEMAS, build_schema, render
from support.factories import a_job_body


def told(**spec: Any) -> list[str]:
    body = a_job_body()
    return [str(problem) for problem in check_shape(body | {"spec": body["spec"] | spec})]


def test_the_schema_matches_the_crd() -> None:
    for schema in SCHEMAS:
        assert schema.read_text() == render(schema), "run make generate"


def test_an_unsupported_keyword_stops_the_generator() -> None:
    crd = yaml.safe_load(CRD.read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["image"]["multipleOf"] = 2

    with pytest.raises(ValueError, match="multipleOf"):
        build_schema(crd, "config")


def test_a_job_as_stored_by_the_api_server_is_valid() -> None:
    assert told() == []


def test_fields_that_the_api_server_defaults_may_be_null() -> None:
    assert told(retry=None, resources={"nodes": None}) == []


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"outputs": {}}, "spec.outputs: unknown field, did you mean output?"),
        ({"learning_rate": 1}, "spec.learning_rate: unknown field: it belongs under spec.config"),
        ({"gpusPerNode": 2}, "spec.gpusPerNode: unknown field: it belongs under spec.resources"),
        (
            {"resources": {"image": "x"}},
            "spec.resources.image: unknown field: it belongs under spec",
        ),
        ({"resources": {"gpus": 2}}, "spec.resources.gpus: unknown field: write gpusPerNode"),
        (
            {"retry": {"often": 1}},
            "spec.retry.often: unknown field, expected maxAttempts",
        ),
        (
            {"resources": {"nodes": 0}},
            "spec.resources.nodes: found 0, expected a whole number from 1 to 1000",
        ),
        (
            {"resources": {"nodes": "2"}},
            'spec.resources.nodes: found "2", expected a whole number: remove the quotes',
        ),
        (
            {"resources": {"gpusPerNode": True}},
            "spec.resources.gpusPerNode: found true, expected a whole number",
        ),
        (
            {"resources": {"memory": "64GB"}},
            'spec.resources.memory: found "64GB", expected a quantity such as 64Gi',
        ),
        (
            {"output": {"uri": "models/balloon"}},
            (
                'spec.output.uri: found "models/balloon": must begin with s3://, gs:// or az:// '
                "and name a bucket"
            ),
        ),
        (
            {"output": {}},
            "spec.output.uri: missing: the location of the result, such as s3://bucket/folder",
        ),
        (
            {"output": {"uri": "s3://a/b", "credentialsSecretRef": {}}},
            (
                "spec.output.credentialsSecretRef.name: missing: "
                "required by spec.output.credentialsSecretRef"
            ),
        ),
        (
            {"image": None},
            "spec.image: found null, expected a string: give the key a value, or remove it",
        ),
        ({"image": ""}, "spec.image: found an empty string: remove the key or give it a value"),
        ({"runToken": 7}, "spec.runToken: found 7, expected a string: put it in quotes"),
        ({"runToken": "x" * 300}, "spec.runToken: found 300 characters, expected at most 256"),
        (
            {"config": []},
            "spec.config: found [], expected a mapping: remove the dashes in front of the keys",
        ),
        (
            {"config": "seed: 1\n"},
            'spec.config: found "seed: 1\\n", expected a mapping: remove the | or > after the key',
        ),
        (
            {"output": "s3://a/b"},
            'spec.output: found "s3://a/b", expected a mapping: write {uri: s3://a/b}',
        ),
        (
            {"terminationGracePeriodSeconds": "10m"},
            'spec.terminationGracePeriodSeconds: found "10m", expected a whole number of seconds',
        ),
        ({"retry": 3}, "spec.retry: found 3, expected a mapping: write {maxAttempts: 3}"),
    ],
    ids=json.dumps,
)
def test_a_wrong_field_is_reported_with_what_to_write(spec: dict[str, Any], sentence: str) -> None:
    assert told(**spec) == [sentence]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"apiVersion": "finetune.dev/v1"},
            'apiVersion: found "finetune.dev/v1", expected "finetune.dev/v1alpha1"',
        ),
        ({"config": {}}, "config: unknown field: it belongs under spec"),
        ({"specs": {}}, "specs: unknown field, did you mean spec?"),
        ({"metadata": None}, "metadata: missing: write metadata: {name: ...}"),
        ({"metadata": {}}, "metadata.name: missing: its name, such as balloon"),
        (
            {"metadata": {"name": "My_Job"}},
            (
                'metadata.name: found "My_Job", expected lower case letters, digits, - and ., '
                "with a letter or digit at either end"
            ),
        ),
    ],
    ids=json.dumps,
)
def test_a_wrong_header_field_is_reported(given: dict[str, Any], sentence: str) -> None:
    assert [str(problem) for problem in check_shape(a_job_body() | given)] == [sentence]


def test_missing_header_fields_are_reported() -> None:
    assert [str(problem) for problem in check_shape({"metadata": {"name": "a"}})] == [
        "apiVersion: missing: write apiVersion: finetune.dev/v1alpha1",
        "kind: missing: write kind: FineTuneJob",
        "spec: missing: it contains config and output",
    ]


def test_a_misspelt_field_is_not_also_reported_missing() -> None:
    body = a_job_body()
    body["spec"]["ouput"] = body["spec"].pop("output")

    assert [str(problem) for problem in check_shape(body)] == [
        "spec.ouput: unknown field, did you mean output?"
    ]


def test_a_generated_name_is_accepted() -> None:
    assert check_shape(a_job_body() | {"metadata": {"generateName": "balloon-"}}) == ()


def test_the_config_is_not_part_of_the_schema() -> None:
    assert job_schema()["properties"]["config"] == {"type": ["object"]}
