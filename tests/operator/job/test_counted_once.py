# SPDX-License-Identifier: Apache-2.0
"""A pass adds to the counters what it has recorded, and the next one adds nothing."""

import asyncio

from finetune_operator.job.reconcile import reconcile
from finetune_operator.objects.reconciled import Reconciled
from finetune_operator.objects.tally import NOTHING, Tally
from support.factories import NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster


def pass_over(cluster: FakeCluster) -> Reconciled:
    done = asyncio.run(reconcile(cluster.job, cluster=cluster, settings=SETTINGS, now=NOW))
    assert done is not None
    return done


def test_a_success_is_counted_only_by_the_pass_that_records_it() -> None:
    cluster = FakeCluster(a_job_body())
    before = [pass_over(cluster).tally for _ in range(3)]
    (training_job,) = cluster.training_jobs()
    training_job["status"] = {
        "conditions": [
            {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-31T12:00:00Z"}
        ]
    }

    after = [pass_over(cluster) for _ in range(3)]

    assert before == [NOTHING] * 3
    assert cluster.status["phase"] in ("Succeeded", "Failed")
    counted = [it.tally for it in after if it.tally]
    assert [it.result for it in counted] == [cluster.status["phase"]]
    assert all(isinstance(it, Tally) for it in counted)
