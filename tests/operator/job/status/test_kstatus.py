# SPDX-License-Identifier: Apache-2.0
"""Flux's status of a job, computed by its own library (a Go program of ours)."""

import json
import subprocess
from functools import cache

import pytest

from finetune_operator.objects.names import Phase
from support.situations import SITUATIONS, Situation
from testbed.binaries import KSTATUS, build

pytestmark = pytest.mark.slow  # The first time it is compiled.


@cache
def verdicts() -> dict[str, str]:
    """The verdicts on all situations, in one run."""
    asked = json.dumps([situation.body for situation in SITUATIONS])
    told = subprocess.run(
        [build(KSTATUS) / "kstatus"], input=asked, capture_output=True, text=True, check=True
    )
    found = [verdict["status"] for verdict in json.loads(told.stdout)]
    names = [situation.name for situation in SITUATIONS]
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_flux_shows_whether_a_job_is_in_progress_done_or_failed(situation: Situation) -> None:
    assert verdicts()[situation.name] == situation.kstatus


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_each_situation_has_the_phase_in_its_name(situation: Situation) -> None:
    assert situation.body["status"].get("phase") == situation.phase


def test_every_phase_has_a_situation() -> None:
    assert {situation.phase for situation in SITUATIONS} == {*Phase, None}
