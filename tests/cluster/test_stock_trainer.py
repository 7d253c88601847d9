# SPDX-License-Identifier: Apache-2.0
"""Users who train with the HF Trainer and without our code still get progress."""

import pytest

from cluster import stock_trainer
from cluster.installation import Installation
from cluster.jobs import Jobs, a_short_job

pytestmark = pytest.mark.cluster


def test_a_pod_without_our_trainer_reports_its_steps_and_loss(
    installation: Installation, jobs: Jobs
) -> None:
    if installation.cluster is None:
        pytest.skip("Another image can be loaded in the tests' own cluster only.")
    stock_trainer.build()
    installation.cluster.load(stock_trainer.TAG)
    job = a_short_job("stock", steps=stock_trainer.STEPS)
    job["spec"]["image"] = stock_trainer.TAG

    status = jobs.wait_for_end(jobs.apply(job))
    jobs.wait_for_step("stock", stock_trainer.STEPS, seconds=30)

    header, row = jobs.run("get", "ftj", "stock").splitlines()
    shown = dict(zip(header.split(), row.split(), strict=False))
    assert (shown["PHASE"], shown["STEP"]) == ("Succeeded", str(stock_trainer.STEPS)), status
    assert float(shown["LOSS"]) > 0
    # Its artifact was not verified.
    assert jobs.condition("stock", "AdapterVerified")["status"] == "False"
