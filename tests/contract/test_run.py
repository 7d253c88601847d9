# SPDX-License-Identifier: Apache-2.0
"""The run document: the trainer reads what the operator writes."""

import json
from dataclasses import replace

import pytest

from finetune_contract.documents import InvalidDocument
from finetune_contract.run import JobReference, Run, World, run_id

RUN = Run(
    job=JobReference(namespace="team-a", name="balloon", uid="uid-1"),
    run_id="0123456789",
    attempt=2,
    config={"model_name_or_path": "some/model", "learning_rate": 0.0002, "lora_r": 16},
    output_uri="s3://models/balloon",
    world=World(
        nodes=2,
        processes_per_node=4,
        master_address="balloon-0.balloon",
        gpus_per_node=4,
        gpu_resource="nvidia.com/gpu",
    ),
    adjustments={"per_device_train_batch_size": 1},
)


def test_the_trainer_reads_the_run_document_the_operator_wrote() -> None:
    assert Run.from_json(RUN.to_json()) == RUN


def test_the_run_document_contains_the_jobs_cluster_if_it_is_known() -> None:
    job = replace(RUN.job, cluster="5f0c", take_over_from="51c0")

    text = replace(RUN, job=job).to_json()

    assert json.loads(text)["job"] == {
        "namespace": "team-a",
        "name": "balloon",
        "uid": "uid-1",
        "cluster": "5f0c",
        "takeOverFrom": "51c0",
    }
    assert Run.from_json(text).job == job
    assert not {"cluster", "takeOverFrom"} & set(json.loads(RUN.to_json())["job"])


def test_a_job_without_a_kubernetes_object_has_no_cluster() -> None:
    assert RUN.job.is_in_cluster
    assert not replace(RUN.job, uid="").is_in_cluster


def test_world_size_is_nodes_times_processes() -> None:
    assert RUN.world.size == 8


def test_a_document_of_an_unsupported_version_is_refused_by_name() -> None:
    document = json.loads(RUN.to_json()) | {"version": 99}

    with pytest.raises(InvalidDocument, match="version 99, this trainer reads version 1"):
        Run.from_json(json.dumps(document))


def test_a_document_of_an_operator_without_a_gpu_promise_is_still_read() -> None:
    document = json.loads(RUN.to_json())
    for field in ("gpusPerNode", "gpuResource"):
        del document["world"][field]

    assert Run.from_json(json.dumps(document)).world.gpus_per_node is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"attempt": "two"}, "attempt is str", id="wrong type"),
        pytest.param({"attempt": True}, "attempt is bool", id="bool is no number"),
        pytest.param({"job": {"namespace": "a", "name": "b"}}, "uid is missing", id="missing"),
    ],
)
def test_an_invalid_document_names_the_field(change: dict[str, object], sentence: str) -> None:
    document = json.loads(RUN.to_json()) | change

    with pytest.raises(InvalidDocument, match=sentence):
        Run.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("config", "token", "same"),
    [
        pytest.param({"lora_r": 16, "seed": 1}, None, True, id="key order does not matter"),
        pytest.param({"seed": 1.0, "lora_r": 16}, None, True, id="1.0 is 1"),
        pytest.param({"seed": 1, "lora_r": 16}, "", True, id="no token is the empty token"),
        pytest.param({"seed": 2, "lora_r": 16}, None, False, id="another value"),
        pytest.param({"seed": 1, "lora_r": 16}, "again", False, id="a token forces a new run"),
        pytest.param({"seed": True, "lora_r": 16}, None, False, id="true is not 1"),
    ],
)
def test_the_same_spec_is_the_same_run(
    config: dict[str, object], token: str | None, same: bool
) -> None:
    assert (run_id(config, token) == run_id({"seed": 1, "lora_r": 16}, None)) is same
