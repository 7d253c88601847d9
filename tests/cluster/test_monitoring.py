# SPDX-License-Identifier: Apache-2.0
"""Alerts and dashboard of the chart, in a real Prometheus: with simulated and real figures."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.installation import CHART
from cluster.replicas import Stage, is_begun, wait_until
from finetune_contract.progress import Progress, TrainerPhase
from finetune_operator.objects.times import render_time
from testbed import prometheus, requirements

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

ALERTS = CHART / "files" / "alerts.yaml"
PLAYED = Path(__file__).with_name("alerts.yaml")
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())

NEEDS_TROUBLE = {"Failed jobs by reason", "Webhook verdicts"}
"""Panels without data for one healthy job and no webhook."""


@pytest.fixture(autouse=True)
def _prometheus_can_be_had() -> None:
    if reasons := requirements.missing():
        pytest.skip(" ".join(reasons))


def test_every_alert_fires_for_its_cause_and_not_otherwise(tmp_path: Path) -> None:
    played = tmp_path / "played.yaml"
    # Annotations are texts for people: only the firing alerts and their labels matter.
    rules = yaml.safe_load(ALERTS.read_text())
    for rule in rules["groups"][0]["rules"]:
        assert set(rule.pop("annotations")) == {"summary", "description"}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    played.write_text(PLAYED.read_text().replace("RULES", "rules.yaml"))

    assert "SUCCESS" in prometheus.promtool("check", "rules", ALERTS)
    assert "SUCCESS" in prometheus.promtool("test", "rules", played)


def test_every_alert_was_seen_firing() -> None:
    names = {it["alert"] for it in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
    played = yaml.safe_load(PLAYED.read_text())["tests"]
    checks = [check for test in played for check in test["alert_rule_test"]]

    assert {it["alertname"] for it in checks if it.get("exp_alerts")} == names
    assert {it["alertname"] for it in checks if not it.get("exp_alerts")} == names


@pytest.fixture
def scraped(stage: Stage, tmp_path: Path) -> Iterator[prometheus.Prometheus]:
    """A Prometheus that scrapes two real replicas, with one training job."""
    name = stage.apply("measured", resources={"gpusPerNode": 2})
    wait_until(lambda: is_begun(stage, name) and len(stage.pods()) == 1, "its pod is made")
    stage.play_running(stage.pods()[0])
    token = stage.token_of(stage.pods()[0], name)
    told = Progress(
        phase=TrainerPhase.TRAINING, step=5, total_steps=10, loss=1.5, tokens_per_second=100.0
    )
    addresses = [replica.address for replica in stage.replicas.values()]
    with prometheus.scraping(addresses, tmp_path) as scraping:

        def is_told() -> bool:
            stage.leader().report(stage.namespace, name, token, told)
            return bool(scraping.query("finetune_job_loss"))

        wait_until(is_told, "the loss is known")
        yield scraping


def test_every_dashboard_query_returns_data_of_a_real_operator(
    scraped: prometheus.Prometheus,
) -> None:
    for title, query in queries():
        # Rates over minutes have no value yet: rates over the available seconds do.
        asked = query.replace("$namespace", ".*").replace("$finetunejob", ".*")

        def is_shown(asked: str = asked.replace("[5m]", "[30s]")) -> bool:
            return bool(scraped.query(asked))

        if title in NEEDS_TROUBLE:
            scraped.query(asked)
        else:
            wait_until(is_shown, f"{title} shows something: {asked}")

    # A scrape that takes more than a second leaves out its replica.
    wait_until(
        lambda: each_value(scraped, "finetune_job_loss", "finetunejob") == [("measured", 1.5)],
        "one replica shows the loss of the report",
    )
    leads = [("finetune_operator_leader", 0), ("finetune_operator_leader", 1)]
    wait_until(
        lambda: each_value(scraped, "finetune_operator_leader", "__name__") == leads,
        "one of two replicas leads",
    )


def each_value(scraping: prometheus.Prometheus, query: str, label: str) -> list[tuple[str, float]]:
    return sorted((it["metric"][label], float(it["value"][1])) for it in scraping.query(query))


def test_a_replica_that_is_not_the_leader_has_an_empty_queue(
    scraped: prometheus.Prometheus,
) -> None:
    def at_rest() -> bool:
        waiting = scraped.query('workqueue_depth{name="finetune"}')
        return [float(it["value"][1]) for it in waiting] == [0]

    wait_until(at_rest, "one replica tells that nothing waits")


NIGHT = timedelta(hours=8)

FAILED_COUNT = 'max by (namespace) (finetune_jobs_finished_total{{namespace="{}",result="Failed"}})'
USED = 'max by (namespace, use) (finetune_gpu_seconds_total{{namespace="{}"}})'
TOTALS = "/api/v1/namespaces/finetune-system/configmaps/finetune-operator-totals"


def a_night_that_fails(stage: Stage, name: str) -> None:
    """A GPU for eight hours, a failure, and a job that is deleted, as by a schedule's history
    limit.
    """
    stage.apply(name, resources={"gpusPerNode": 1}, retry={"maxAttempts": 1})
    pod = stage.pod_of(name)
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{pod['metadata']['name']}/status"
    began = render_time(datetime.now(UTC) - NIGHT)
    stage.ask("PATCH", path, {"status": {"startTime": began}})

    def has_failed() -> bool:
        stage.play_pods(failing=lambda _: True)
        return stage.phase(name) == "Failed"

    wait_until(has_failed, f"{name} has failed")
    stage.plane.kubectl("--namespace", stage.namespace, "delete", "ftj", name, "--wait=true")


def values(scraping: prometheus.Prometheus, query: str) -> set[float]:
    return {float(it["value"][1]) for it in scraping.query(query)}


def test_two_failed_runs_are_counted_after_job_deletion_and_a_leader_kill(
    stage: Stage, tmp_path: Path
) -> None:
    team = stage.namespace
    addresses = [replica.address for replica in stage.replicas.values()]
    with prometheus.scraping(addresses, tmp_path) as scraping:
        a_night_that_fails(stage, "first-night")
        wait_until(lambda: values(scraping, FAILED_COUNT.format(team)) == {1}, "one is counted")
        wait_until(lambda: team in json.dumps(stage.ask("GET", TOTALS)), "it is kept")
        killed = stage.leader()
        killed.kill()
        wait_until(lambda: stage.find_leader() is stage.other(killed), "the other one leads")
        a_night_that_fails(stage, "second-night")

        wait_until(lambda: values(scraping, FAILED_COUNT.format(team)) == {2}, "two are counted")

        used = 2 * NIGHT.total_seconds()
        # Two of seven steps are in no checkpoint.
        expected = pytest.approx([used * 2 / 7, used], rel=0.02)
        wait_until(
            lambda: sorted(values(scraping, USED.format(team))) == expected, "both uses are counted"
        )
        killed.start()


def test_a_schedule_whose_deleted_job_failed_triggers_its_alert(
    stage: Stage, tmp_path: Path
) -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    (alert,) = [it["expr"] for it in rules if it["alert"] == "FinetuneScheduleFails"]
    addresses = [replica.address for replica in stage.replicas.values()]
    path = f"/apis/finetune.dev/v1alpha1/namespaces/{stage.namespace}/finetuneschedules"
    stage.ask("POST", path, a_failing_schedule(stage.namespace))
    with prometheus.scraping(addresses, tmp_path) as scraping:

        def is_true() -> bool:
            stage.play_pods(failing=lambda _: True)
            told = [it["metric"] for it in scraping.query(alert)]
            return any(it["namespace"] == stage.namespace for it in told)

        wait_until(is_true, "its job has failed")

    stage.ask("DELETE", f"{path}/nightly")


def a_failing_schedule(namespace: str) -> dict[str, Any]:
    """Each minute; it keeps no failed jobs."""
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneSchedule",
        "metadata": {"namespace": namespace, "name": "nightly"},
        "spec": {
            "schedule": "* * * * *",
            "failedJobsHistoryLimit": 0,
            "jobTemplate": {
                "spec": {
                    "config": {
                        "model_name_or_path": "s3://models/tiny",
                        "dataset_name": "s3://datasets/tiny",
                    },
                    "output": {"uri": "s3://models/nightly"},
                    "retry": {"maxAttempts": 1},
                }
            },
        },
    }


def queries() -> Iterator[tuple[str, str]]:
    """Each panel's title with each of its queries."""
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    for panel in panels:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
