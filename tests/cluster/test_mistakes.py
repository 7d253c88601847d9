# SPDX-License-Identifier: Apache-2.0
"""The result of a user error: one sentence, no pod, no retry."""

import pytest

from cluster.jobs import Jobs, a_job, unreviewed

pytestmark = pytest.mark.cluster


def test_a_typo_is_refused_with_the_nearest_key_and_no_pod(jobs: Jobs) -> None:
    name = jobs.apply(unreviewed(a_job("typo", learning_rte=1e-4)))

    jobs.wait_until(name, lambda s: s.get("conditions"), seconds=30, what="a verdict")
    accepted = jobs.condition(name, "Accepted")

    assert accepted["status"] == "False"
    assert "learning_rte" in accepted["message"]
    assert "did you mean learning_rate?" in accepted["message"]
    assert jobs.condition(name, "Stalled")["status"] == "True"
    assert jobs.pods(name) == jobs.training_jobs(name) == []


def test_a_missing_dataset_fails_once_with_a_remedy(jobs: Jobs) -> None:
    name = jobs.apply(a_job("no-data", dataset_name="s3://datasets/windrsoe"))

    status = jobs.wait_for_end(name, seconds=120)

    failure = status["failure"]
    assert status["phase"] == "Failed"
    assert failure["category"] == "User"
    assert failure["reason"] == "DatasetNotFound"
    assert failure["retryable"] is False
    assert "s3://datasets/windrsoe" in failure["message"]
    assert failure["remedy"]
    assert len(status["attempts"]) == len(jobs.training_jobs(name)) == 1
    assert jobs.condition(name, "Failed")["status"] == "True"
    assert jobs.condition(name, "Complete") == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("config", "learning_rate"), 0.5, id="config"),
        pytest.param(("config", "weight_decay"), 0.5, id="a new key in config"),
        pytest.param(("output", "uri"), "s3://models/elsewhere", id="output"),
    ],
)
def test_run_defining_fields_cannot_be_changed(
    jobs: Jobs, path: tuple[str, str], value: object
) -> None:
    job = a_job("unchangeable")
    job["spec"]["resources"]["gpusPerNode"] = 1  # No node has it: nothing is trained.
    name = jobs.apply(job)
    jobs.wait_until(name, lambda s: s.get("runId"), seconds=30, what="acceptance")
    job["spec"][path[0]][path[1]] = value

    with pytest.raises(RuntimeError, match="cannot be changed"):
        jobs.apply(job)


def test_a_typo_can_be_corrected_by_an_edit(jobs: Jobs) -> None:
    job = unreviewed(a_job("corrected", learning_rte=1e-4))
    job["spec"]["resources"]["gpusPerNode"] = 1
    name = jobs.apply(job)
    jobs.wait_until(name, lambda s: s.get("conditions"), seconds=30, what="a verdict")

    job["spec"]["config"].pop("learning_rte")
    jobs.apply(job)

    jobs.wait_until(name, lambda s: s.get("runId"), seconds=30, what="acceptance")
    assert jobs.condition(name, "Accepted")["status"] == "True"
    jobs.run("delete", "ftj", name, "--wait=false")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        pytest.param("output", {"uri": "models/x"}, "spec.output.uri", id="no scheme"),
        pytest.param("output", {"uri": "file:///x"}, "must begin with s3://", id="a pod's folder"),
        pytest.param("resources", {"nodes": 0}, "spec.resources.nodes", id="no node"),
        pytest.param("config", None, "spec.config", id="no config"),
    ],
)
def test_the_api_server_refuses_values_outside_the_schema(
    jobs: Jobs, field: str, value: object, words: str
) -> None:
    job = a_job("refused")
    job["spec"][field] = value

    with pytest.raises(RuntimeError, match=words):
        jobs.apply(job)


def test_a_violated_guard_rail_is_reported_with_who_can_change_it(jobs: Jobs) -> None:
    job = a_job("remote", trust_remote_code=True)
    told = "the platform team sets ALLOW_TRUST_REMOTE_CODE in the operator's Deployment"

    with pytest.raises(RuntimeError, match=told):
        jobs.apply(job)
    jobs.apply(unreviewed(job))
    jobs.wait_until("remote", lambda s: s.get("conditions"), seconds=30, what="a verdict")

    accepted = jobs.condition("remote", "Accepted")
    assert accepted["status"] == "False"
    assert told in accepted["message"]
    assert jobs.training_jobs("remote") == []
