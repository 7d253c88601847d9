# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta

from finetune_operator.job.spec import key_of, parse_job
from finetune_operator.objects.names import JobKey
from support.factories import CONFIG, SETTINGS, a_job, a_job_body


def test_every_field_of_the_spec_is_parsed() -> None:
    body = a_job_body(
        resources={"nodes": 2, "gpusPerNode": 4, "cpu": 8, "memory": "64Gi"},
        output={"uri": "s3://models/x", "credentialsSecretRef": {"name": "bucket"}},
        image="mine:2",
        runToken="again",
        retry={"maxAttempts": 5},
        terminationGracePeriodSeconds=90,
        metadata={"labels": {"a": "b"}, "annotations": {"c": "d"}},
    )

    job = parse_job(body, SETTINGS)

    assert (job.resources.nodes, job.resources.gpus_per_node) == (2, 4)
    assert (job.resources.gpus, job.resources.processes_per_node) == (8, 4)
    assert (job.resources.cpu, job.resources.memory) == ("8", "64Gi")
    assert (job.output_uri, job.credentials_secret) == ("s3://models/x", "bucket")
    assert (job.image, job.run_token, job.max_attempts) == ("mine:2", "again", 5)
    assert job.grace_period == timedelta(seconds=90)
    assert (job.labels, job.annotations) == ({"a": "b"}, {"c": "d"})


def test_without_gpus_there_is_one_process_per_node() -> None:
    assert a_job(resources={"gpusPerNode": 0}).resources.processes_per_node == 1


def test_every_problem_of_a_config_is_reported_at_once() -> None:
    body = a_job_body(config={**CONFIG, "learning_rte": 1e-4, "max_length": "long"})

    job = parse_job(body, SETTINGS)

    assert job.is_rejected
    told = "; ".join(job.mistakes)
    assert "learning_rte" in told
    assert "did you mean learning_rate?" in told
    assert 'max_length: found "long"' in told


def test_an_accepted_config_is_not_refused_by_a_newer_schema() -> None:
    config = {**CONFIG, "no_longer_a_key": 1}

    job = parse_job(a_job_body(config=config, status={"runId": "0123456789"}), SETTINGS)

    assert job.config.written == config


def test_the_run_id_depends_only_on_what_defines_the_result() -> None:
    same = a_job(name="other", uid="other", retry={"maxAttempts": 9}, image="mine:2")

    assert same.run_id == a_job().run_id
    assert a_job(runToken="again").run_id != a_job().run_id
    assert a_job(config={**CONFIG, "seed": 1}).run_id != a_job().run_id


def test_the_key_equals_the_label_of_the_children() -> None:
    assert key_of(a_job_body()) == JobKey(namespace="team", label="balloon")
