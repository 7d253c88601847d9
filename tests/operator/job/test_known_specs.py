# SPDX-License-Identifier: Apache-2.0
"""A cached spec equals a parsed one, and takes little memory."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from finetune_operator.job.known_specs import LARGEST_BYTES, KnownSpecs
from finetune_operator.job.spec import ReadSpec, parse_job, read_spec
from finetune_operator.objects.raw import Body
from finetune_operator.settings import Settings
from finetune_spec.job import KnownModel
from support.factories import CONFIG, SETTINGS, a_job_body

MODEL = KnownModel(config={"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2})
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def with_width(model: KnownModel, width: int) -> KnownModel:
    return replace(model, config={**model.config, "hidden_size": width})


class Reader:
    """Counts parsed specs."""

    def __init__(self) -> None:
        self.read: list[Body] = []

    def __call__(self, body: Body, settings: Settings, model: KnownModel | None = None) -> ReadSpec:
        self.read.append(body)
        return read_spec(body, settings, model)

    def take(self) -> int:
        """The number since the last call."""
        number = len(self.read)
        self.read.clear()
        return number


def a_wide_job(number: int, size: int = 1000) -> dict[str, Any]:
    return a_job_body(config={**CONFIG, "run_name": f"{number}-{'x' * size}"})


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"status": {"phase": "Running", "runId": "x"}}, id="the status"),
        pytest.param({"resourceVersion": "99"}, id="the version"),
        pytest.param({"labels": {"team": "a"}}, id="a label"),
        pytest.param({"generation": 7}, id="the generation alone"),
        pytest.param({"name": "another", "uid": "of-another"}, id="the job, with the same spec"),
    ],
)
def test_a_spec_is_parsed_once_regardless_of_other_changes_to_the_job(
    changed: dict[str, Any],
) -> None:
    reader = Reader()
    specs = KnownSpecs(reader)
    status = changed.pop("status", None)
    before, after = a_job_body(), a_job_body(metadata=changed, status=status)
    specs.read(before, SETTINGS)

    known = specs.read(copy.deepcopy(after), SETTINGS)

    assert reader.take() == 1
    assert known == read_spec(after, SETTINGS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(a_job_body(), a_job_body(suspend=True), id="a field"),
        pytest.param(
            a_job_body(config={**CONFIG, "packing": 1}),
            a_job_body(config={**CONFIG, "packing": True}),
            id="a number to a truth, which Python takes for equal",
        ),
        pytest.param(
            a_job_body(config={**CONFIG, "max_length": 8}),
            a_job_body(config={**CONFIG, "max_length": 8.0}),
            id="a whole number to a fraction",
        ),
        pytest.param(
            a_job_body(config={"packin": 1, "max_lenth": 2, **CONFIG}),
            a_job_body(config={"max_lenth": 2, "packin": 1, **CONFIG}),
            id="the order of the errors",
        ),
        pytest.param(
            a_job_body(),
            a_job_body(podTemplate={"spec": {"hostNetwork": True}}),
            id="a default that a newer definition fills in, at the same generation",
        ),
        pytest.param(
            a_job_body(),
            a_job_body(
                metadata={
                    "annotations": {APPLIED: '{"spec": {"config": {"max_length": null}}}'},
                }
            ),
            id="what kubectl was given",
        ),
        pytest.param(
            a_job_body(),
            a_job_body(metadata={"labels": {"kueue.x-k8s.io/prebuilt-workload-name": "mine"}}),
            id="a label that is passed on",
        ),
        pytest.param(a_job_body(), a_job_body(metadata={"namespace": "other"}), id="the namespace"),
    ],
)
def test_a_change_of_anything_a_spec_depends_on_is_parsed_again(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    reader, settings = Reader(), replace(SETTINGS, namespaces=("team",))
    specs = KnownSpecs(reader)
    specs.read(before, settings)
    reader.take()

    known = specs.read(after, settings)

    assert reader.take() == 1
    assert known == read_spec(after, settings)


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        pytest.param(replace(SETTINGS, max_gpus=1), None, id="a guard rail"),
        pytest.param(replace(SETTINGS, trainer_image="trainer:2"), None, id="the trainer's image"),
        pytest.param(SETTINGS, MODEL, id="a model that was not known"),
        pytest.param(SETTINGS, with_width(MODEL, 128), id="a model that has changed"),
        pytest.param(SETTINGS, replace(MODEL, damage="x"), id="a model known to be damaged"),
        pytest.param(SETTINGS, replace(MODEL, modules=("x",)), id="a model with known matrices"),
    ],
)
def test_a_spec_is_parsed_again_with_other_settings_or_another_model(
    settings: Settings, model: KnownModel | None
) -> None:
    reader = Reader()
    specs, body = KnownSpecs(reader), a_job_body(resources={"nodes": 1, "gpusPerNode": 2})
    specs.read(body, SETTINGS, None if model is None else with_width(MODEL, 32))
    reader.take()

    known = specs.read(body, settings, model)

    assert reader.take() == 1
    assert known == read_spec(body, settings, model)


@pytest.mark.parametrize(
    "status",
    [None, {"runId": "x"}, {"runId": "x", "definition": "0123456789"}],
    ids=["new", "accepted", "redefined"],
)
@pytest.mark.parametrize("config", [CONFIG, {**CONFIG, "max_length": -5}], ids=["right", "wrong"])
def test_a_job_parsed_from_the_cache_is_the_same(
    config: Mapping[str, Any], status: dict[str, Any] | None
) -> None:
    specs, body = KnownSpecs(), a_job_body(config=config, status=status)
    specs.read(a_job_body(config=config), SETTINGS)

    assert parse_job(body, SETTINGS, None, specs.read) == parse_job(body, SETTINGS)


def test_the_least_recently_used_spec_is_evicted_first() -> None:
    reader = Reader()
    specs = KnownSpecs(reader, most_bytes=5000)
    for number in (0, 1, 0, 2, 3):
        specs.read(a_wide_job(number), SETTINGS)
    reader.take()

    for number in (3, 0):
        specs.read(a_wide_job(number), SETTINGS)
    assert reader.take() == 0
    specs.read(a_wide_job(1), SETTINGS)
    assert reader.take() == 1


def test_many_cached_jobs_use_no_more_memory_than_a_few() -> None:
    reader = Reader()
    specs = KnownSpecs(reader, most_bytes=4000)
    for number in range(50):
        specs.read(a_wide_job(number), SETTINGS)
    reader.take()

    for number in range(50):
        specs.read(a_wide_job(number), SETTINGS)

    assert reader.take() == 50, "each had made room for another"


def test_a_large_spec_evicts_no_other() -> None:
    reader = Reader()
    specs = KnownSpecs(reader)
    specs.read(a_job_body(), SETTINGS)

    for _ in range(2):
        specs.read(a_wide_job(0, LARGEST_BYTES), SETTINGS)

    assert reader.take() == 3, "the large one is read each time"
    specs.read(a_job_body(), SETTINGS)
    assert reader.take() == 0
