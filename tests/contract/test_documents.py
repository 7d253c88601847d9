# SPDX-License-Identifier: Apache-2.0
"""The documents between the images: their texts are the same as in older images."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.answers import Answer
from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import (
    MAX_ANSWERS,
    MAX_HARDWARE,
    MAX_METRIC_NAME,
    MAX_METRICS,
    MAX_NOTE,
    MAX_OUTCOME_BYTES,
    MAX_PROGRESS_BYTES,
    MAX_TEXT,
)
from finetune_contract.outcome import Artifact, Category, Failure, Outcome
from finetune_contract.progress import GpuMemory, Progress, TrainerPhase
from finetune_contract.run import JobReference, Run, World

RUN = Run(
    job=JobReference(namespace="team-a", name="balloon", uid="uid-1"),
    run_id="0123456789",
    attempt=2,
    config={"z": None, "lora_target_modules": ["q", {"b": 1, "a": 2}], "\u00e9": 0.5},
    output_uri="s3://models/balloon",
    world=World(nodes=2, processes_per_node=4, master_address="balloon-0", gpus_per_node=4),
)
RUN_TEXT = r"""{
  "adjustments": {},
  "attempt": 2,
  "config": {
    "lora_target_modules": [
      "q",
      {
        "a": 2,
        "b": 1
      }
    ],
    "z": null,
    "\u00e9": 0.5
  },
  "job": {
    "name": "balloon",
    "namespace": "team-a",
    "uid": "uid-1"
  },
  "outputUri": "s3://models/balloon",
  "runId": "0123456789",
  "version": 1,
  "world": {
    "gpuResource": "",
    "gpusPerNode": 4,
    "masterAddress": "balloon-0",
    "masterPort": 29500,
    "nodes": 2,
    "processesPerNode": 4
  }
}"""

FAILURE = Failure(
    category=Category.USER,
    reason="DatasetNotFound",
    message="no such dataset \u00e9",
    remedy="upload it",
    phase="Fetching",
)
FAILED_TEXT = (
    '{"version":1,"adapterVerified":false,"step":0,"totalSteps":0,"checkpointStep":0,'
    '"resumedFromStep":3,"worldSize":0,"figures":{},"failure":{"category":"User",'
    '"reason":"DatasetNotFound","message":"no such dataset \u00e9","remedy":"upload it",'
    '"phase":"Fetching","rank":null}}'
)
SUCCESS = Outcome(
    artifact=Artifact(uri="s3://m/b/adapter", digest="sha256:00", size_bytes=12),
    adapter_verified=True,
    step=30,
    total_steps=30,
    checkpoint_step=30,
    world_size=2,
    figures={"loss": 0.5, "eval_loss": 1},
    note="stopped early",
    hardware="2 x NVIDIA L4",
)
SUCCESS_TEXT = (
    '{"version":1,"adapterVerified":true,"step":30,"totalSteps":30,"checkpointStep":30,'
    '"resumedFromStep":0,"worldSize":2,"figures":{"loss":0.5,"eval_loss":1},'
    '"note":"stopped early","hardware":"2 x NVIDIA L4","artifact":{"uri":"s3://m/b/adapter",'
    '"digest":"sha256:00","sizeBytes":12}}'
)

PROGRESS = Progress(
    attempt=1,
    step=29,
    total_steps=30,
    epoch=4.8,
    loss=0.25,
    eval_loss=1.5,
    base_eval_loss=2.5,
    metrics={"eval_bleu": 1},
    learning_rate=1e-4,
    tokens_per_second=150.5,
    eta_seconds=3,
    resumed_from_step=10,
    checkpoint_step=20,
    world_size=2,
    memory=GpuMemory(estimated_bytes=15_000_000_000, peak_bytes=14_000_000_000),
    answers=(Answer(prompt="Name a colour.", before=None, after="Blue."),),
)
PROGRESS_TEXT = (
    '{"trainerStatus": {"metrics": [{"name": "loss", "value": "0.25"}, {"name": "learning_rate", '
    '"value": "0.0001"}], "progressPercentage": 96, "estimatedRemainingSeconds": 3}, "progress": '
    '{"phase": "Training", "attempt": 1, "step": 29, "totalSteps": 30, "epoch": 4.8, "loss": 0.25, '
    '"evalLoss": 1.5, "baseEvalLoss": 2.5, "metrics": {"eval_bleu": 1.0}, "learningRate": 0.0001, '
    '"tokensPerSecond": 150.5, "etaSeconds": 3, "resumedFromStep": 10, "checkpointStep": 20, '
    '"worldSize": 2, "memory": {"estimatedBytes": 15000000000, "peakBytes": 14000000000}, '
    '"answers": [{"prompt": "Name a colour.", "after": "Blue."}]}}'
)
LITTLE = Progress(
    step=0,
    total_steps=4,
    eta_seconds=0,
    epoch=0.0,
    loss=math.nan,
    stock_percent=7,
    memory=GpuMemory(peak_bytes=5),
)
LITTLE_TEXT = (
    '{"trainerStatus": {"metrics": [], "progressPercentage": 0, "estimatedRemainingSeconds": 0}, '
    '"progress": {"phase": "Training", "step": 0, "totalSteps": 4, "epoch": 0.0, "etaSeconds": 0, '
    '"memory": {"peakBytes": 5}}}'
)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param(RUN.to_json(), RUN_TEXT, id="run"),
        pytest.param(
            Outcome(failure=FAILURE, resumed_from_step=3).to_json(), FAILED_TEXT, id="failure"
        ),
        pytest.param(SUCCESS.to_json(), SUCCESS_TEXT, id="success"),
        pytest.param(PROGRESS.to_body().decode(), PROGRESS_TEXT, id="progress"),
        pytest.param(LITTLE.to_body().decode(), LITTLE_TEXT, id="little progress"),
    ],
)
def test_documents_are_written_byte_for_byte_as_before(written: str, text: str) -> None:
    assert written == text


def test_documents_of_older_images_are_read() -> None:
    assert Run.from_json(RUN_TEXT) == RUN
    assert Outcome.from_json(SUCCESS_TEXT) == SUCCESS
    assert Outcome.from_json(FAILED_TEXT) == Outcome(
        failure=FAILURE, resumed_from_step=3, figures={}
    )
    assert Progress.from_body(PROGRESS_TEXT.encode()) == PROGRESS
    assert Progress.from_body(LITTLE_TEXT.encode()) == replace(
        LITTLE, loss=None, stock_percent=None
    )


def test_an_older_image_reports_the_failure_category_by_its_former_name() -> None:
    text = FAILED_TEXT.replace('"category":"User"', '"blame":"User"')
    assert text != FAILED_TEXT
    assert Outcome.from_json(text) == Outcome.from_json(FAILED_TEXT)


def test_documents_of_newer_images_may_contain_more_fields() -> None:
    more = json.loads(SUCCESS_TEXT) | {"more": {"a": [1]}}
    more["artifact"]["more"] = 1

    assert Outcome.from_json(json.dumps(more)) == SUCCESS


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"world": {"nodes": "two"}}, r"^world\.nodes is str \('two'\), expected int$"),
        ({"world": []}, r"^world is \[\], expected an object$"),
        ({"job": {"namespace": "a", "name": "b"}}, r"^job\.uid is missing$"),
        ({"version": None}, r"^version is missing$"),
    ],
)
def test_an_unreadable_run_document_names_the_path(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidDocument, match=sentence):
        Run.from_json(json.dumps(json.loads(RUN_TEXT) | change))


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        ({"metrics": [1]}, r"^progress\.metrics is \[1\], expected an object$"),
        ({"answers": {"a": 1}}, r"^progress\.answers is dict \({'a': 1}\), expected list$"),
        ({"answers": [{"prompt": 1}]}, r"^progress\.answers\[0\]\.prompt is int \(1\)"),
        ({"memory": {"peakBytes": "5"}}, r"^progress\.memory\.peakBytes is str \('5'\)"),
        ({"loss": 10**400}, r"^progress\.loss is int "),
        ([], r"^progress is \[\], expected an object$"),
    ],
)
def test_an_unreadable_progress_document_names_the_path(ours: Any, sentence: str) -> None:
    with pytest.raises(InvalidDocument, match=sentence):
        Progress.from_body(json.dumps({"progress": ours}).encode())


def test_a_document_of_a_pod_is_read_up_to_a_length_limit() -> None:
    with pytest.raises(InvalidDocument, match="outcome has 4097 bytes, expected at most 4096"):
        Outcome.from_json(SUCCESS_TEXT + " " * (MAX_OUTCOME_BYTES + 1 - len(SUCCESS_TEXT)))
    with pytest.raises(InvalidDocument, match="progress has 65537 bytes"):
        Progress.from_body(b" " * (MAX_PROGRESS_BYTES + 1))


def test_a_lone_surrogate_from_a_pod_does_not_block_the_status() -> None:
    text = json.dumps(json.loads(FAILED_TEXT) | {"note": "\ud800"})

    assert Outcome.from_json(text).note == "?"


# Half a surrogate pair cannot be encoded.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
COUNTS = st.integers(0, 2**62)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=8,
)
CONFIGS = st.dictionaries(TEXTS, VALUES, max_size=4)

RUNS = st.builds(
    Run,
    job=st.builds(JobReference, namespace=TEXTS, name=TEXTS, uid=TEXTS),
    run_id=TEXTS,
    attempt=COUNTS,
    config=CONFIGS,
    output_uri=TEXTS,
    world=st.builds(
        World,
        nodes=COUNTS,
        processes_per_node=COUNTS,
        master_address=TEXTS,
        master_port=COUNTS,
        gpus_per_node=st.none() | COUNTS,
        gpu_resource=TEXTS,
    ),
    adjustments=CONFIGS,
)
FAILURES = st.builds(
    Failure,
    category=st.sampled_from(Category),
    reason=TEXTS,
    message=TEXTS,
    remedy=TEXTS,
    phase=TEXTS,
    rank=st.none() | COUNTS,
)
OUTCOMES = st.builds(
    Outcome,
    failure=st.none() | FAILURES,
    artifact=st.none() | st.builds(Artifact, uri=TEXTS, digest=TEXTS, size_bytes=COUNTS),
    adapter_verified=st.booleans(),
    step=COUNTS,
    total_steps=COUNTS,
    checkpoint_step=COUNTS,
    resumed_from_step=COUNTS,
    world_size=COUNTS,
    figures=st.dictionaries(TEXTS, NUMBERS, max_size=4),
    note=st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_NOTE),
    hardware=st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_HARDWARE),
)
ANSWER_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_TEXT)
UNSURE_COUNTS, UNSURE_NUMBERS = st.none() | COUNTS, st.none() | NUMBERS
PROGRESSES = st.builds(
    Progress,
    phase=st.sampled_from(TrainerPhase),
    attempt=UNSURE_COUNTS,
    step=UNSURE_COUNTS,
    total_steps=UNSURE_COUNTS,
    epoch=UNSURE_NUMBERS,
    loss=UNSURE_NUMBERS,
    eval_loss=UNSURE_NUMBERS,
    base_eval_loss=UNSURE_NUMBERS,
    metrics=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_METRIC_NAME),
        NUMBERS,
        max_size=MAX_METRICS,
    ),
    learning_rate=UNSURE_NUMBERS,
    tokens_per_second=UNSURE_NUMBERS,
    eta_seconds=UNSURE_COUNTS,
    resumed_from_step=UNSURE_COUNTS,
    checkpoint_step=UNSURE_COUNTS,
    world_size=UNSURE_COUNTS,
    memory=st.builds(GpuMemory, estimated_bytes=UNSURE_COUNTS, peak_bytes=UNSURE_COUNTS),
    answers=st.lists(
        st.builds(
            Answer,
            prompt=ANSWER_TEXTS,
            before=st.none() | ANSWER_TEXTS,
            after=st.none() | ANSWER_TEXTS,
        ),
        max_size=MAX_ANSWERS,
    ).map(tuple),
)


@given(RUNS)
def test_any_run_survives_a_round_trip(run: Run) -> None:
    assert Run.from_json(run.to_json()) == run


@given(OUTCOMES)
def test_any_outcome_survives_a_round_trip(outcome: Outcome) -> None:
    assert Outcome.from_json(outcome.to_json()) == outcome


@given(PROGRESSES)
def test_any_progress_survives_a_round_trip(progress: Progress) -> None:
    assert Progress.from_body(progress.to_body()) == progress
