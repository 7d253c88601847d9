# SPDX-License-Identifier: Apache-2.0
"""A spec is locked in the same write that records its first attempt: edits that arrive before."""

from typing import Any

import pytest

from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.raw import Manifest
from support.factories import CONFIG, a_job_body
from support.fake_cluster import FakeCluster
from support.operator_passes import go, settle


class EditedAtTheStart(FakeCluster):
    """Another client changes the job after the first attempt's Job was created, and before the
    attempt is recorded.
    """

    def __init__(self, **edit: Any) -> None:
        super().__init__(a_job_body())
        self._edit = edit

    async def create(self, manifest: Manifest) -> None:
        await super().create(manifest)
        if manifest["kind"] == "Job" and self._edit:
            self.job["spec"] |= self._edit.pop("spec", {})
            self.job["metadata"] |= self._edit
            self._edit = {}
            self.merge_status({})


def edited_at_the_start(**edit: Any) -> FakeCluster:
    """After the pass whose record of the first attempt failed."""
    cluster = EditedAtTheStart(**edit)
    with pytest.raises(Conflict):
        go(cluster)
    return cluster


def test_an_attempt_of_an_unlocked_spec_is_ended_and_the_edited_spec_is_tried() -> None:
    cluster = edited_at_the_start(spec={"config": {**CONFIG, "seed": 7}}, generation=2)

    settle(cluster)
    (record,) = cluster.status["attempts"]
    assert (record["number"], record["reason"], record["stopping"]) == (1, "SpecChanged", True)
    for ending in [key for key in cluster.objects if key[1] == "balloon-1"]:
        del cluster.objects[ending]
    settle(cluster)

    assert [it["result"] for it in cluster.status["attempts"]] == ["Interrupted", "Running"]
    assert cluster.status["attempts"][1]["definition"] == cluster.status["definition"]
    assert [job["metadata"]["name"] for job in cluster.training_jobs()] == ["balloon-2"]


def test_an_attempt_of_an_unlocked_spec_goes_on_until_an_invalid_edit_is_corrected() -> None:
    cluster = edited_at_the_start(spec={"config": {**CONFIG, "learning_rte": 1}}, generation=2)

    settle(cluster)
    (record,) = cluster.status["attempts"]
    assert (record["result"], "stopping" in record) == ("Running", False)
    assert cluster.status["conditions"][0]["reason"] == "InvalidSpec"
    assert "delete balloon-1" not in cluster.writes
    cluster.job["spec"]["config"] = dict(CONFIG)
    cluster.job["metadata"]["generation"] = 3
    settle(cluster)

    (record,) = cluster.status["attempts"]
    assert (record["result"], "stopping" in record) == ("Running", False)
    assert cluster.status["conditions"][0]["reason"] == "SpecAccepted"


def test_reports_of_an_attempt_of_an_unlocked_spec_are_not_shown_for_the_edited_one() -> None:
    cluster = edited_at_the_start(spec={"config": {**CONFIG, "seed": 7}}, generation=2)
    history = [{"step": 1, "loss": 2.5}]
    cluster.merge_status({"progress": {"attempt": 1, "step": 1}, "lossHistory": history})

    settle(cluster)

    assert "lossHistory" not in cluster.status


def test_an_attempt_is_recorded_although_labels_were_changed_meanwhile() -> None:
    cluster = edited_at_the_start(labels={"team": "vision"})

    settle(cluster)

    assert [it["result"] for it in cluster.status["attempts"]] == ["Running"]
    assert [event["reason"] for event in cluster.events] == ["AttemptStarted"]
    assert [job["metadata"]["name"] for job in cluster.training_jobs()] == ["balloon-1"]
