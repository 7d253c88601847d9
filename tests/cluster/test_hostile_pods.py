# SPDX-License-Identifier: Apache-2.0
"""Hostile reports of a tenant's pods, statuses edited by hand, and responses of a hub, on a real
control plane: the leader stays the leader, neighbours' jobs are accepted, and each job ends or
continues. Pods are simulated.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

import pytest

from cluster.hostile_hub import MODELS, WAYS
from cluster.hostile_specs import a_model, nested
from cluster.hostile_tenant import UNREVIEWED, World
from cluster.replica import Replica
from cluster.replicas import message_of, wait_until
from finetune_contract.limits import MAX_PROGRESS_BYTES
from finetune_contract.progress import Progress, TrainerPhase
from finetune_operator.progress.server import PROGRESS_PATH
from support.factories import a_good_outcome

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


def our_report(**fields: str) -> str:
    """With these JSON texts next to a valid step."""
    given = {"step": "3", "totalSteps": "10", **fields}
    texts = ", ".join(f'"{key}": {text}' for key, text in given.items())
    return f'{{"progress": {{{texts}}}}}'


REPORTS: Mapping[str, str] = {
    "an ETA of 10^18 s": our_report(etaSeconds=str(10**18)),
    "an ETA below nothing": our_report(etaSeconds=str(-(2**63))),
    "a peak of 10^400 bytes": our_report(memory=f'{{"peakBytes": {10**400}}}'),
    "10^5000 steps": our_report(step="1" + "0" * 5000),
    "steps below nothing": our_report(step="-5", totalSteps="-1"),
    "2^63 steps": our_report(step=str(2**63), totalSteps=str(2**63)),
    "a loss of NaN": our_report(loss="NaN", epoch="Infinity", learningRate="-Infinity"),
    "a loss of 10^30": our_report(loss="1e30", tokensPerSecond="1e308"),
    "the largest loss": our_report(loss="1.7976931348623157e308"),
    "a loss that is text": our_report(loss='"low"'),
    "1,000 metrics": our_report(metrics=json.dumps({f"m{it}": 0.5 for it in range(1000)})),
    "a metric of 30 kB": our_report(metrics=json.dumps({"m" * 30_000: 0.5})),
    "an unknown phase": our_report(phase='"' + "x" * 30_000 + '"'),
    "half a pair": our_report(answers='[{"prompt": "\\ud800", "before": "\\udfff", "after": ""}]'),
    "long answers": our_report(answers=json.dumps([{"prompt": "x" * 9000}] * 6)),
    "9,000 deep": our_report(metrics=nested(9000)),
    "60,000 lists": "[" * 60_000,
    "no JSON": "x" * 1000,
    "too large": " " * (MAX_PROGRESS_BYTES + 1),
    "a null": "null",
    "a stock trainer's 10^18 s": json.dumps(
        {"trainerStatus": {"estimatedRemainingSeconds": 10**18}}
    ),
    "a stock trainer's 1e308 steps": json.dumps(
        {"trainerStatus": {"metrics": [{"name": "total_steps", "value": "1e308"}]}}
    ),
    "a stock trainer's 2^62 percent": json.dumps({"trainerStatus": {"progressPercentage": 2**62}}),
    "a stock trainer's long figures": json.dumps(
        {"trainerStatus": {"metrics": [{"name": "loss", "value": "9" * 5000}] * 5}}
    ),
}


def test_a_hostile_report_of_a_pod_does_not_block_its_next_one(world: World) -> None:
    world.tenant.apply("reporting")
    pod = world.stage.pod_of("reporting")
    world.stage.play_running(pod)
    wait_until(lambda: "the pods are running" in message_of(world.stage, "reporting"), "it runs")
    token = world.stage.token_of(pod, "reporting")

    for kind, text in REPORTS.items():
        codes = {post(world, replica, token, text) for replica in world.replicas}
        assert codes <= {200, 400, 413}, kind
    world.require_neighbours_go_on()
    right = Progress(attempt=1, step=7, total_steps=10, loss=1.25, phase=TrainerPhase.TRAINING)
    for replica in world.replicas:
        replica.report(world.stage.namespace, "reporting", token, right)

    progress = {"step": 7, "totalSteps": 10, "loss": 1.25}
    wait_until(
        lambda: progress.items() <= world.stage.status("reporting").get("progress", {}).items(),
        "the right report is in the status",
    )


def post(world: World, replica: Replica, token: str, text: str) -> int:
    path = PROGRESS_PATH.format(namespace=world.stage.namespace, name="reporting")
    request = urllib.request.Request(
        f"http://{replica.address}{path}",
        method="POST",
        data=text.encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


GOOD = json.loads(a_good_outcome().to_json())

LAST_WORDS: Mapping[str, str] = {
    "2,000 lists": "[" * 2000,
    "nothing": "",
    "no JSON": "x" * 4096,
    "a step of NaN": json.dumps({**GOOD, "step": float("nan")}),
    "10^400 steps": json.dumps({**GOOD, "step": 10**400}),
    "a peak of 10^30": json.dumps({**GOOD, "figures": {"peak_bytes": 10**30, "loss": 1e308}}),
    "the largest figure": json.dumps({**GOOD, "figures": {"loss": 1.7976931348623157e308}}),
    "an endless figure": json.dumps({**GOOD, "figures": {"loss": float("inf")}}),
    "a long note": json.dumps({**GOOD, "note": "x" * 3000}),
    "half a pair": json.dumps({**GOOD, "note": "\ud800"}),
    "an artifact of 2^63 bytes": json.dumps(
        {**GOOD, "artifact": {"uri": "s3://a/b", "digest": "sha256:1", "sizeBytes": 2**63}}
    ),
    "a version of 1e999": '{"version": 1e999}',
    "500 mappings": '{"version":1,"figures":' + '{"a":' * 500 + "1" + "}" * 501,
}


def test_a_job_ends_with_any_termination_log(world: World) -> None:
    names = {f"ending-{number}": text for number, text in enumerate(LAST_WORDS.values())}
    for name in names:
        world.tenant.apply(name, f'{{"output": {{"uri": "s3://models/{name}"}}}}')

    for name, text in names.items():
        world.stage.play_end(world.stage.pod_of(name), text)
    world.require_neighbours_go_on()

    for name in names:
        wait_until(
            lambda name=name: world.stage.phase(name) in ("Succeeded", "Failed"), f"{name} ends"
        )


BEGAN = "2026-01-01T00:00:00Z"
ATTEMPT = {"number": 1, "name": "edited-1", "result": "Running", "startTime": BEGAN}
CONDITION = {"status": "True", "reason": "Edited", "lastTransitionTime": BEGAN}


def attempts(*given: Mapping[str, object]) -> str:
    return json.dumps({"attempts": [{**ATTEMPT, **it} for it in given]})


STATUSES: Mapping[str, str] = {
    "no status": "null",
    "a name of 300 kB": attempts({"name": "x" * 300_000}),
    "attempt 2^63-1": attempts({"number": 2**63 - 1, "lastStep": 2**63 - 1}),
    "attempts below nothing": attempts({"number": -(2**63), "gpus": -(2**63)}),
    "200 attempts of another age": attempts(
        *({"number": it, "startTime": "0001-01-01T00:00:00Z"} for it in range(200))
    ),
    "an attempt that ended before time began": attempts(
        {"result": "Failed", "endTime": "0000-01-01T00:00:00Z", "gpus": 64}
    ),
    "200 attempts of one number": attempts(*[{"result": "Interrupted"}] * 200),
    "times of other ages": json.dumps(
        {"startTime": "0001-01-01T00:00:00Z", "cleanupTime": "9999-12-31T23:59:59-12:00"}
    ),
    "a run of 1 MB": json.dumps({"runId": "x" * 1_000_000}),
    "figures of 1e308": json.dumps(
        {
            "gpuHours": {"used": 1e308, "wasted": -1e308},
            "progress": {"step": 2**63 - 1, "totalSteps": -1, "loss": 1e308},
            "lossHistory": [{"step": -1, "loss": 1e308}] * 64,
        }
    ),
    "adjustments 1,100 deep": attempts({"adjustments": "DEEP"}).replace('"DEEP"', nested(1100)),
    "times that only the API server accepts": json.dumps(
        {
            "startTime": "2026-01-01T00:00:00x5Z",
            "progress": {"updated": "2026-01-01T00:00:00+99:99"},
            "attempts": [{**ATTEMPT, "result": "Failed", "endTime": "2026-01-01T00:00:00ZTx"}],
        }
    ),
    "adjustments that run a model's code": attempts({"adjustments": {"trust_remote_code": True}}),
    "adjustments to nothing": attempts({"adjustments": {"per_device_train_batch_size": 0}}),
    "adjustments without end": attempts({"adjustments": {"a": [{}] * 100_000}}),
    "16 long conditions": json.dumps(
        {"conditions": [{**CONDITION, "type": f"C{it}", "message": "?" * 9000} for it in range(16)]}
    ),
    "it has failed and is complete": json.dumps(
        {"conditions": [{**CONDITION, "type": it, "message": ""} for it in ("Failed", "Complete")]}
    ),
    "a definition of its own": json.dumps(
        {"definition": "\u0000" * 100, "definitionDigest": "x" * 100_000}
    ),
    "it has succeeded, in no condition": json.dumps({"phase": "Succeeded", "conditions": []}),
}


@pytest.mark.parametrize("kind", STATUSES)
def test_a_manually_edited_status_blocks_no_job(world: World, kind: str) -> None:
    world.tenant.apply("edited")
    world.wait_until_told("edited")
    path = f"{world.tenant.jobs}/edited"

    answer = world.tenant.send("PATCH", f"{path}/status", f'{{"status": {STATUSES[kind]}}}')
    world.require_neighbours_go_on()
    world.tenant.edit("edited", '{"activeDeadlineSeconds": 4000}')

    assert not answer.is_refusal, answer.text
    world.wait_until_told("edited")


def test_hostile_hub_responses_break_neither_their_job_nor_others(world: World) -> None:
    # Those that take longest are the last: after them no request is made to the hub for a minute.
    for model in (*MODELS, *WAYS):
        name = f"of-{model}"
        world.tenant.apply(name, a_model(model), labels=UNREVIEWED)
        world.require_neighbours_go_on()
        told = world.wait_until_told(name)
        assert "InternalError" not in told, model
        assert model in world.hub.asked


def test_twenty_revisions_of_a_1_mb_config_use_little_memory(world: World) -> None:
    before = [replica.memory_bytes() for replica in world.replicas]

    for number in range(20):
        spec = a_model("revised", model_revision=json.dumps(str(number)))
        world.tenant.apply(f"revised-{number}", spec)
    for number in range(20):
        world.wait_until_told(f"revised-{number}")

    world.require_neighbours_go_on()
    assert world.hub.asked["revised"] >= 20
    for replica, held in zip(world.replicas, before, strict=True):
        assert replica.memory_bytes() - held < 60 * 1024 * 1024


@pytest.mark.parametrize("count", [40, pytest.param(150, marks=pytest.mark.long)])
def test_jobs_of_1_mb_do_not_exhaust_the_memory_of_a_restarted_replica(
    world: World, count: int
) -> None:
    for number in range(count):
        assert world.apply_large(f"large-{number}") == 201
    follower = world.stage.other(world.stage.leader())

    follower.kill()
    follower.start()

    wait_until(follower.is_ready, "it is ready again")
    wait_until(lambda: world.number_told() == count, "all say something", 600)
