# SPDX-License-Identifier: Apache-2.0
"""Argo CD's health of a job: its health scripts, run by Lua 5.1 with only the basic library."""

from pathlib import Path
from typing import Any

import pytest
from lupa import lua51

from support.situations import SITUATIONS, Situation

FOLDER = Path(__file__).parents[4] / "configs" / "argocd"
ALLOWED = ("ipairs", "pairs", "type", "tostring", "tonumber", "next", "select")


def health(kind: str, body: Any) -> tuple[str, str]:
    """Status and message, as Argo CD would show them; nothing else is available."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    script = (FOLDER / f"finetune.dev_{kind}" / "health.lua").read_text()
    world = lua.table_from({name: lua.globals()[name] for name in ALLOWED})
    world["obj"] = lua.table_from(body, recursive=True)
    judged = lua.eval("function(script, world) return setfenv(loadstring(script), world)() end")(
        script, world
    )
    return judged["status"], judged["message"]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_argo_cd_shows_the_health_of_a_job(situation: Situation) -> None:
    status, message = health("FineTuneJob", situation.body)

    assert status == situation.argo
    assert message


def test_argo_cd_shows_why_a_job_failed() -> None:
    failed = next(it for it in SITUATIONS if it.name == "failed")

    assert "no answer" in health("FineTuneJob", failed.body)[1]


def a_schedule(*, suspend: bool = False, seen: int = 1, **condition: str) -> dict[str, Any]:
    status = {"observedGeneration": seen, "conditions": [condition] if condition else []}
    return {"metadata": {"generation": 1}, "spec": {"suspend": suspend}, "status": status}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param({"metadata": {"generation": 1}, "spec": {}}, "Progressing", id="new"),
        pytest.param(a_schedule(seen=0), "Progressing", id="edited"),
        pytest.param(a_schedule(suspend=True), "Suspended", id="suspended"),
        pytest.param(
            a_schedule(type="Stalled", status="True", message="x"), "Degraded", id="unreadable"
        ),
        pytest.param(
            a_schedule(type="Accepted", status="False", message="x"), "Degraded", id="rejected"
        ),
        pytest.param(
            a_schedule(type="Ready", status="True", message="x"), "Healthy", id="accepted"
        ),
    ],
)
def test_argo_cd_shows_the_health_of_a_schedule(schedule: dict[str, Any], expected: str) -> None:
    assert health("FineTuneSchedule", schedule)[0] == expected
