# SPDX-License-Identifier: Apache-2.0
"""For any content of a job, its status or its pods' reports: one pass takes little time, does not
fail, and results in a status that the API server accepts.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_contract.documents import InvalidDocument
from finetune_contract.progress import Progress
from finetune_contract.shallow import parse_json
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.observe.observation import Children, observe
from finetune_operator.job.spec import parse_job
from finetune_operator.job.status.progress import report_patch, with_known_steps
from finetune_operator.job.status.status import next_status
from finetune_operator.objects.errors import InvalidSpec
from finetune_operator.schedule.spec import parse_schedule
from finetune_operator.webhook.review import parse_review, review
from finetune_spec.shape import check_shape
from support.factories import (
    CONFIG,
    NOW,
    SETTINGS,
    a_good_outcome,
    a_job_body,
    a_training_job,
    an_ended_pod,
    seconds,
)
from support.hostile import BEYOND, VALUES, nested, placed, quickly
from support.situations import SITUATIONS

LATER = NOW + seconds(1)

UNWRITABLE = ("10^5000", "9,000 lists", "9,000 mappings", "1,100 mappings")
"""Values that Python's own JSON cannot serialize: they are written as texts."""

POD_TEMPLATE: Mapping[str, Any] = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    "spec": {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"any": []}},
        "priorityClassName": "low",
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
        "containers": [
            {
                "name": "trainer",
                "env": [{"name": "A", "value": "b"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
    },
}
WHOLE = a_job_body(
    image="team/trainer:1",
    runToken="again",
    suspend=False,
    activeDeadlineSeconds=60,
    startDeadlineSeconds=60,
    ttlSecondsAfterFinished=60,
    modelCache={"claimName": "models", "subPath": "a"},
    podTemplate=POD_TEMPLATE,
)


def status_after(body: Mapping[str, Any], children: Children = Children()) -> Mapping[str, Any]:  # noqa: B008
    """The status after one pass of the operator, computed within the limit."""

    def look() -> Mapping[str, Any]:
        job = parse_job(body, SETTINGS)
        observed = observe(job, body, children, LATER)
        decision = decide(job, observed, LATER)
        return next_status(body.get("status", {}), job, observed, decision, LATER)

    status = quickly(look)
    json.dumps(status, allow_nan=False, ensure_ascii=False).encode()
    require_sayable(status)
    return status


def accepted_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    (found,) = [it for it in status["conditions"] if it["type"] == "Accepted"]
    return found


def is_let_in(body: Mapping[str, Any]) -> bool:
    """Whether the API server, which checks the CRD's schema, accepts it; some fields may be
    dropped.
    """
    return not check_shape(body)


@pytest.mark.parametrize("name", VALUES)
def test_a_spec_may_contain_anything_that_the_schema_accepts(name: str) -> None:
    for path, spec in placed(WHOLE["spec"], VALUES[name]):
        body = {**WHOLE, "spec": spec}
        if "." not in path and path in ("config", "output"):
            continue  # The schema requires an object.
        if name not in BEYOND and (VALUES[name] is None or not is_let_in(body)):
            continue  # Refused, or filled in with a default.
        if name in BEYOND and not path.startswith(("config.", "podTemplate.spec.affinity")):
            continue

        accepted = accepted_of(status_after(body))

        if name in BEYOND:
            assert accepted["status"] == "False", path
            assert "spec." in accepted["message"] or "spec: holds" in accepted["message"]


@pytest.mark.parametrize("name", VALUES)
def test_a_review_of_any_object_is_answered_quickly(name: str) -> None:
    config = {**CONFIG, "model_init_kwargs": VALUES[name]}
    request = {
        "uid": "1",
        "kind": {"kind": "FineTuneJob"},
        "operation": "UPDATE",
        "object": a_job_body(config=config),
        "oldObject": a_job_body(config={**config, "lora_r": 3}, status={}),
    }

    answer = quickly(lambda: review(request, SETTINGS))

    if name in BEYOND:
        assert not answer["allowed"]
        assert "model_init_kwargs" in answer["status"]["message"] or "holds" in str(answer)


@pytest.mark.parametrize("levels", [40, 850, 1_100, 9_000])
def test_a_job_of_any_depth_is_refused_with_its_path_by_webhook_and_operator(levels: int) -> None:
    deep = '{"a":' * levels + "1" + "}" * levels
    spec = json.dumps(a_job_body(config={**CONFIG, "model_init_kwargs": "DEEP"}))
    job = spec.replace('"DEEP"', deep)
    text = (
        '{"apiVersion":"admission.k8s.io/v1","request":{"uid":"1","kind":{"kind":"FineTuneJob"},'
        f'"operation":"CREATE","object":{job}}}}}'
    )

    request = parse_review(quickly(lambda: parse_json(text.encode())))
    answer = review(request, SETTINGS)
    accepted = accepted_of(status_after(parse_json(job.encode())))

    expected = "spec.config.model_init_kwargs"
    assert not answer["allowed"]
    for message in (answer["status"]["message"], accepted["message"]):
        assert message.startswith(expected)
        assert message.endswith("is nested more than 32 deep")


@pytest.mark.parametrize(
    "status",
    [
        {"runId": "1"},
        {"runId": "1", "definition": ""},
        {"runId": "1", "definition": "", "definitionDigest": ""},
    ],
)
def test_no_edited_status_makes_a_spec_beyond_the_limits_start(status: dict[str, Any]) -> None:
    """No guard rail has read such a spec: its image, its GPUs, its output."""
    config = {**CONFIG, "model_init_kwargs": nested(9_000)}
    body = a_job_body(config=config, image="someone/image:1", status=status)

    job = parse_job(body, SETTINGS)
    decision = decide(job, observe(job, body, Children(), LATER), LATER)

    assert job.is_rejected
    assert decision.attempt_to_start is None


def test_a_running_attempt_continues_when_its_spec_is_edited_beyond_the_limits() -> None:
    (running,) = [it.body for it in SITUATIONS if it.name == "training"]
    config = {**CONFIG, "model_init_kwargs": nested(9_000)}
    edited = {**running, "spec": {**running["spec"], "config": config, "onChange": "Rerun"}}

    status = status_after(edited, Children(training_jobs=[a_training_job()]))

    assert accepted_of(status)["status"] == "False"
    assert status["definition"] == running["status"]["definition"]
    assert len(status["attempts"]) == len(running["status"]["attempts"])


@pytest.mark.parametrize("name", [name for name, it in VALUES.items() if isinstance(it, str)])
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_metadata_may_contain_any_text(place: str, name: str) -> None:
    names = (
        "kubectl.kubernetes.io/last-applied-configuration",
        "finetune.dev/x",
        "kueue.x-k8s.io/q",
    )
    metadata = {place: dict.fromkeys(names, VALUES[name])}

    status_after(a_job_body(metadata=metadata))


LARGEST = sys.float_info.max
"""Rounded to a few digits, it is infinite."""

TIMES = ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")
TIMES += ("1970-01-01T00:00:00Z", "2026-05-04T12:00:00")
TIMES += ("2026-05-04T12:00:00+99:99", "2026-05-04T12:00:00x5Z", "2026-05-04T12:00:00ZTx")
CHOICES = ("phase", "result", "blame", "status", "type")
"""Fields for which the schema, or a reader of conditions, has a fixed set of values."""


def by_hand(path: str, value: Any) -> list[Any]:
    """The values that the status's schema accepts in place of this one."""
    field = path.rpartition(".")[2]
    if isinstance(value, bool) or value is None or field in CHOICES:
        return []
    if isinstance(value, str) and field.lower().endswith(("time", "updated")):
        return list(TIMES)
    if isinstance(value, str):
        return ["", "a" * 30_000, "\x00", "[" * 2_000]
    if isinstance(value, int):
        return [2**63 - 1, -(2**63), 0, -1]
    return [LARGEST, -LARGEST, 1e308] if isinstance(value, float) else []


def leaves(document: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(document, Mapping | list):
        items = document.items() if isinstance(document, Mapping) else enumerate(document)
        return [leaf for key, item in items for leaf in leaves(item, f"{path}.{key}".lstrip("."))]
    return [(path, document)]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda it: it.name)
def test_a_manually_edited_status_does_not_break_a_pass(situation: Any) -> None:
    body = situation.body
    known = dict(leaves(body["status"]))
    for path, before in known.items():
        for value in by_hand(path, before):
            changed = dict(placed(body["status"], value))[path]
            status_after({**body, "status": changed})


def a_job_that_ended(message: str) -> Mapping[str, Any]:
    (running,) = [it.body for it in SITUATIONS if it.name == "training"]
    pod = an_ended_pod(0, message=message)
    children = Children(training_jobs=[a_training_job(ended="Complete")], pods=[pod])
    return status_after(running, children)


@pytest.mark.parametrize("name", VALUES)
def test_a_job_ends_with_any_termination_log(name: str) -> None:
    value, good = VALUES[name], json.loads(a_good_outcome().to_json())
    texts = [value] if isinstance(value, str) else []
    if name not in UNWRITABLE:
        texts += [json.dumps(changed) for _, changed in placed(good, value)]

    for text in texts:
        assert a_job_that_ended(text)["phase"] in ("Succeeded", "Failed")


@pytest.mark.parametrize(
    "text", ["[" * 2_000, '{"version":1,"step":NaN}', '{"version":1,"step":1' + "0" * 400 + "}"]
)
def test_an_unreadable_termination_log_ends_the_job_too(text: str) -> None:
    assert a_job_that_ended(text)["phase"] in ("Succeeded", "Failed")


REPORT: Mapping[str, Any] = {
    "phase": "Training",
    "step": 3,
    "totalSteps": 10,
    "epoch": 0.5,
    "loss": 1.5,
    "etaSeconds": 60,
    "metrics": {"accuracy": 0.5},
    "learningRate": 1e-4,
    "tokensPerSecond": 3.5,
    "resumedFromStep": 0,
    "worldSize": 1,
    "memory": {"peakBytes": 1},
    "answers": [{"prompt": "a", "before": "b", "after": "c"}],
}


@pytest.mark.parametrize("name", [name for name in VALUES if name not in UNWRITABLE])
def test_any_posted_report_is_refused_or_gives_a_valid_patch(
    name: str,
) -> None:
    value = VALUES[name]
    for stock in (True, False):
        shape = STOCK if stock else REPORT
        key = "trainerStatus" if stock else "progress"
        for _, changed in placed(shape, value):
            body = json.dumps({key: changed}).encode()
            quickly(lambda body=body: patched(body))


@pytest.mark.parametrize("total", [10, 2**62, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("percentage", [50, 101, 2**62, -1, -(2**60)])
def test_steps_computed_from_a_percentage_are_an_int64(percentage: int, total: int) -> None:
    """A stock trainer reports no steps at its end: those of the status count."""
    body = json.dumps({"trainerStatus": {"progressPercentage": percentage}}).encode()
    status = {"progress": {"attempt": 1, "totalSteps": total}}

    progress = with_known_steps(status, 1, Progress.from_body(body))

    require_sayable(report_patch(status, 1, progress, LATER))


STOCK: Mapping[str, Any] = {
    "progressPercentage": 50,
    "estimatedRemainingSeconds": 60,
    "metrics": [{"name": "total_steps", "value": "10"}, {"name": "loss", "value": "1.5"}],
}


def patched(body: bytes) -> None:
    try:
        progress = Progress.from_body(body)
    except InvalidDocument as refused:
        told = str(refused)
    else:
        told = ""
        require_sayable(report_patch({}, 1, progress, LATER))
    assert len(told) < 500


def require_sayable(patch: Mapping[str, Any]) -> None:
    for _, value in leaves(json.loads(json.dumps(patch, allow_nan=False))):
        assert not isinstance(value, int) or -(2**63) <= value < 2**63


def test_a_schedule_beyond_the_limits_is_refused_with_its_path() -> None:
    template = {"spec": a_job_body(config={**CONFIG, "env": nested(9_000, "mapping")})["spec"]}
    body = {**a_job_body(), "spec": {"schedule": "0 2 * * *", "jobTemplate": template}}

    with pytest.raises(InvalidSpec, match=r"^spec\.jobTemplate\.spec\.config\.env.*nested more"):
        parse_schedule(body, SETTINGS)
