# SPDX-License-Identifier: Apache-2.0
"""A FineTuneJob is read as it was written, today and after changes of API versions.

docs/reference/api-versions.md describes how they change. Tested on a copy of the CRD in another
group, which operator and webhook do not watch.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.jobs import Jobs, until

pytestmark = pytest.mark.cluster

CRD = Path(__file__).parents[2] / "crds" / "finetunejobs.yaml"
TODAY, NEXT = "v1alpha1", "v1beta1"
NAMES = {
    "kind": "CopiedJob",
    "listKind": "CopiedJobList",
    "plural": "copiedjobs",
    "singular": "copiedjob",
}
"""Different from ours: kubectl remembers for minutes which group a name without one belongs to."""
RUN = '{"status": {"runId": "0123456789ab"}}'

CONFIG = """
    model_name_or_path: Qwen/Qwen2.5-7B-Instruct
    dataset_name: s3://datasets/balloon
    learning_rate: 1e-4
    weight_decay: 2.0e-3
    num_train_epochs: 3
    warmup_steps: 0.03
    max_length: null
    dtype: null
    seed: 4294967295
    data_seed: 9007199254740993
    bf16: true
    eval_strategy: "no"
    report_to: [wandb, trackio]
    lora_target_modules: all-linear
    pad_to_multiple_of: 8
    gradient_checkpointing_kwargs: {use_reentrant: false}
    fsdp_config: {version: 2, nested: {deeper: [1, null, {deepest: 2.5}]}}
    datasets: [{path: s3://datasets/a, fraction: 0.25, columns: null}]
    env: {WANDB_PROJECT: balloon, EMPTY: ""}
    learning_rte: 1e-4
    not_a_key: {of: [any, {trl: null}], empty: {}, none: []}
"""
READ = yaml.safe_load(CONFIG) | {"learning_rate": 1e-4, "learning_rte": 1e-4}
"""The same, with the numbers that PyYAML reads as texts."""


@dataclass(kw_only=True)
class Copy:
    """The copy of the CRD, and its jobs."""

    jobs: Jobs
    definition: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.definition["metadata"]["name"])

    @property
    def group(self) -> str:
        return str(self.definition["spec"]["group"])

    def publish(self) -> None:
        """Applies the current CRD, and waits until all of its versions are served."""
        self.jobs.run(
            *("apply", "--server-side", "--force-conflicts", "-f", "-"),
            input=json.dumps(self.definition),
        )
        for version in self.definition["spec"]["versions"]:
            if version["served"]:
                self._wait_for(version["name"])

    def _wait_for(self, version: str) -> None:
        for _ in until(30):
            try:
                self.jobs.run("get", self.kind(version))
            except RuntimeError:
                continue
            return
        raise AssertionError(f"{version} is not served after 30 s")

    def add_next_version(self) -> None:
        versions = self.definition["spec"]["versions"]
        versions.append({**deepcopy(versions[0]), "name": NEXT, "storage": False})
        self.publish()

    def store_as(self, name: str) -> None:
        for version in self.definition["spec"]["versions"]:
            version["storage"] = version["name"] == name
        self.publish()

    def stop_serving(self, name: str) -> None:
        for version in self.definition["spec"]["versions"]:
            version["served"] = version["served"] and version["name"] != name
        self.publish()

    def remove_version(self, name: str) -> None:
        versions = self.definition["spec"]["versions"]
        versions[:] = [version for version in versions if version["name"] != name]
        self.publish()

    def kind(self, version: str = TODAY) -> str:
        return f"{NAMES['plural']}.{version}.{self.group}"

    def text(self, name: str, version: str = TODAY) -> str:
        return (
            f"apiVersion: {self.group}/{version}\nkind: {NAMES['kind']}\n"
            f"metadata: {{name: {name}}}\n"
            f"spec:\n  output: {{uri: s3://models/balloon}}\n  config:{CONFIG}"
        )

    def write(self, verb: str, job: str | dict[str, Any], *options: str) -> None:
        text = job if isinstance(job, str) else json.dumps(job)
        self.jobs.run(verb, *options, "-f", "-", input=text)

    def accept(self, name: str) -> None:
        """The operator's step before it creates anything: from then on the spec is locked."""
        self.jobs.run(
            *("patch", self.kind(), name, "--subresource=status", "--type=merge", "-p", RUN)
        )

    def read(self, name: str, version: str = TODAY) -> dict[str, Any]:
        job: dict[str, Any] = json.loads(
            self.jobs.run("get", self.kind(version), name, "-o", "json")
        )
        return job


def a_copy(group: str) -> dict[str, Any]:
    """The CRD in another group and with other names."""
    crd: dict[str, Any] = yaml.safe_load(CRD.read_text())
    crd["metadata"] = {"name": f"{NAMES['plural']}.{group}"}
    crd["spec"] |= {"group": group, "names": NAMES}
    return crd


@contextmanager
def published(jobs: Jobs, group: str) -> Iterator[Copy]:
    copy = Copy(jobs=jobs, definition=a_copy(group))
    copy.publish()
    yield copy
    jobs.run("delete", "crd", copy.name)


@pytest.fixture(scope="module")
def copy(jobs: Jobs) -> Iterator[Copy]:
    """For jobs with other names in each test."""
    with published(jobs, "copy.finetune.dev") as made:
        yield made


@pytest.fixture
def changing(jobs: Jobs) -> Iterator[Copy]:
    """A CRD whose versions may be changed."""
    with published(jobs, "changing.finetune.dev") as made:
        yield made


@pytest.fixture(scope="module")
def locked(copy: Copy) -> dict[str, Any]:
    """An accepted job."""
    copy.write("create", copy.text("locked"))
    copy.accept("locked")
    return copy.read("locked")


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_a_config_is_read_back_as_it_was_written(copy: Copy, verb: str) -> None:
    options = ("--server-side",) if verb == "apply" else ()
    copy.write(verb, copy.text(f"by-{verb}"), *options)

    spec = copy.read(f"by-{verb}")["spec"]
    assert spec["config"] == READ
    assert spec["output"] == {"uri": "s3://models/balloon"}


def test_client_side_apply_loses_nulls_and_keeps_the_rest(copy: Copy) -> None:
    """As api-versions.md warns: kubectl removes them before it sends the object."""
    copy.write("apply", copy.text("plain"))

    config = copy.read("plain")["spec"]["config"]
    whole = {key for key, value in READ.items() if "null" not in json.dumps(value)}
    assert not {"max_length", "dtype"} & config.keys()
    assert {key: config[key] for key in whole} == {key: READ[key] for key in whole}


def test_a_locked_config_can_be_applied_again_unchanged(copy: Copy, locked: dict[str, Any]) -> None:
    again = deepcopy(locked)
    again["metadata"]["labels"] = {"team": "balloon"}
    del again["metadata"]["resourceVersion"]

    copy.write("replace", again)

    assert copy.read("locked")["spec"] == locked["spec"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("weight_decay", 1e-3, id="typed"),
        pytest.param("max_length", 1024, id="null becomes a number"),
        pytest.param("tf32", None, id="a null is added"),
        pytest.param("learning_rte", 2e-4, id="unknown"),
        pytest.param("not_a_key", {"of": []}, id="inside what is unknown"),
        pytest.param("fsdp_config", {"version": 1}, id="inside a mapping"),
        pytest.param("data_seed", 9007199254740992, id="one in a large number"),
    ],
)
def test_no_part_of_a_locked_config_can_be_changed(
    copy: Copy, locked: dict[str, Any], key: str, value: object
) -> None:
    changed = deepcopy(locked)
    changed["spec"]["config"][key] = value
    del changed["metadata"]["resourceVersion"]

    with pytest.raises(RuntimeError, match="cannot be changed"):
        copy.write("replace", changed)


def test_an_unknown_field_outside_of_config_is_refused_and_not_stored(copy: Copy) -> None:
    job = copy.text("typo").replace("spec:\n", "spec:\n  outptu: {uri: s3://models/balloon}\n")

    with pytest.raises(RuntimeError, match=r'unknown field "spec\.outptu"'):
        copy.write("apply", job)

    copy.write("apply", job, "--validate=ignore")
    assert "outptu" not in copy.read("typo")["spec"]


def test_a_job_is_unchanged_in_the_next_version(changing: Copy) -> None:
    changing.write("create", changing.text("balloon"))
    changing.add_next_version()

    as_next = changing.read("balloon", NEXT)
    assert as_next["apiVersion"] == f"{changing.group}/{NEXT}"
    assert as_next["spec"] == changing.read("balloon")["spec"]

    changing.write("replace", as_next)
    assert changing.read("balloon")["spec"]["config"] == READ

    changing.remove_version(NEXT)
    assert changing.read("balloon")["spec"]["config"] == READ


def test_jobs_survive_the_removal_of_the_version_they_were_written_in(changing: Copy) -> None:
    """The complete path of api-versions.md: serve, store, rewrite, stop serving."""
    changing.write("apply", changing.text("balloon"), "--server-side")
    changing.accept("balloon")
    changing.add_next_version()

    changing.store_as(NEXT)
    changing.write("replace", changing.read("balloon", NEXT))
    changing.jobs.run(
        *("patch", "crd", changing.name, "--subresource=status", "--type=merge"),
        *("-p", json.dumps({"status": {"storedVersions": [NEXT]}})),
    )
    changing.stop_serving(TODAY)

    job = changing.read("balloon", NEXT)
    assert job["spec"]["config"] == READ
    assert job["status"]["runId"]
    # It fails if v1alpha1 is removed from the CRD: managedFields still name it.
    changing.write("apply", changing.text("balloon", NEXT), "--server-side")
    assert changing.read("balloon", NEXT)["metadata"]["generation"] == 1
