# SPDX-License-Identifier: Apache-2.0
"""Two nodes train as one: one world, shared gradients."""

import pytest

from cluster.jobs import Jobs, Resource, a_short_job

pytestmark = pytest.mark.cluster


def a_job_on(nodes: int, name: str, *, batch: int) -> Resource:
    job = a_short_job(name, steps=4, per_device_train_batch_size=batch)
    job["spec"]["resources"] |= {"nodes": nodes, "memory": "4Gi"}
    return job


def test_two_nodes_train_like_one_process_with_twice_the_batch(jobs: Jobs) -> None:
    one = jobs.apply(a_job_on(1, "one-node", batch=2))
    alone = jobs.wait_for_end(one)
    two = jobs.apply(a_job_on(2, "two-nodes", batch=1))
    together = jobs.wait_for_end(two)

    assert alone["phase"] == together["phase"] == "Succeeded", together
    assert alone["worldSize"] == {"wanted": 1, "seen": 1}
    assert together["worldSize"] == {"wanted": 2, "seen": 2}
    assert together["progress"]["step"] == alone["progress"]["step"] == 4
    assert together["progress"]["loss"] == pytest.approx(alone["progress"]["loss"], rel=0.02)
    assert len(together["attempts"]) == 1
