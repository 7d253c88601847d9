# SPDX-License-Identifier: Apache-2.0
"""Counters survive their jobs, a change of leader, and any change of their ConfigMap."""

import asyncio
from collections.abc import Iterable

import pytest

from finetune_operator.kube.client import ApiError
from finetune_operator.kube.totals import KEY, KubeTotals, parse_totals
from finetune_operator.objects.names import CONFIG_MAPS, TOTALS
from finetune_operator.objects.tally import Tally
from finetune_operator.runtime import totals as totals_module
from finetune_operator.runtime.totals import Totals
from finetune_operator.telemetry.metrics import GPU_SECONDS, JOBS_FINISHED
from support.fake_api import FakeApi

NIGHT = Tally(used_seconds=28800, wasted_seconds=28800, result="Failed", reason="ModelNotFound")
PLACE = (CONFIG_MAPS, "finetune-system", TOTALS)


def told(totals: Totals, *namespaces: str) -> dict[tuple[str, ...], float]:
    return {(it.gauge, *it.labels): it.value for it in totals.measure(namespaces)}


def lead(api: FakeApi, totals: Totals, nights: Iterable[Tally] = ()) -> None:
    """A replica leads, counts these, and stops."""

    async def scene() -> None:
        keeping = asyncio.create_task(totals.keep(KubeTotals(api, "finetune-system")))
        await asyncio.sleep(0.01)
        for night in nights:
            totals.count("team", night)
        keeping.cancel()
        await asyncio.wait([keeping])

    asyncio.run(scene())


def test_totals_of_two_nights_under_two_leaders_are_added() -> None:
    api, second = FakeApi(), Totals()
    lead(api, Totals(), [NIGHT])

    lead(api, second, [NIGHT])

    assert told(second) == {
        (GPU_SECONDS, "team", "used"): 57600,
        (GPU_SECONDS, "team", "wasted"): 57600,
        (JOBS_FINISHED, "team", "Failed", "ModelNotFound"): 2,
    }


def test_a_leader_that_leads_again_includes_what_another_counted_meanwhile() -> None:
    api, first = FakeApi(), Totals()
    lead(api, first, [NIGHT])
    lead(api, Totals(), [NIGHT])

    lead(api, first)

    assert told(first)[JOBS_FINISHED, "team", "Failed", "ModelNotFound"] == 2


def test_no_totals_are_exported_before_the_stored_ones_are_loaded() -> None:
    totals = Totals()
    totals.count("team", NIGHT)

    assert told(totals, "team") == {}


def test_a_namespace_with_jobs_starts_at_zero() -> None:
    totals = Totals()
    lead(FakeApi(), totals)

    assert told(totals, "team") == {
        (GPU_SECONDS, "team", "used"): 0,
        (GPU_SECONDS, "team", "wasted"): 0,
        (JOBS_FINISHED, "team", "Succeeded", ""): 0,
    }


@pytest.mark.parametrize("code", [403, 500, 503])
def test_a_failing_store_loses_no_count_and_no_leadership(code: int) -> None:
    api, totals = FakeApi(), Totals()
    api.fail_with = ApiError(code, "Refused", "not now")
    lead(api, totals, [NIGHT])
    assert told(totals) == {}

    api.fail_with = None
    lead(api, totals)

    assert told(totals)[JOBS_FINISHED, "team", "Failed", "ModelNotFound"] == 1


def test_counts_written_by_another_replica_meanwhile_are_added() -> None:
    api = FakeApi()
    lead(api, Totals(), [NIGHT])
    store, late = KubeTotals(api, "finetune-system"), Totals()

    async def scene() -> None:
        await late._save(store)
        late.count("team", NIGHT)
        other = Totals()
        await other._save(elsewhere := KubeTotals(api, "finetune-system"))
        other.count("team", NIGHT)
        await other._save(elsewhere)
        await late._try_to_save(store)
        await late._try_to_save(store)

    asyncio.run(scene())

    assert told(late)[JOBS_FINISHED, "team", "Failed", "ModelNotFound"] == 3


def test_pods_cannot_create_series_and_surplus_namespaces_are_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(totals_module, "MAX_SERIES", 5)
    totals = Totals()
    lead(FakeApi(), totals)
    for number in range(50):
        totals.count(f"team-{number}", Tally(result="Failed", reason=f"MadeUp{number}"))

    figures = told(totals)

    assert sum(figures.values()) == 50
    assert len(figures) == 6
    assert {labels[-1] for labels in figures} == {"Other"}
    assert figures[JOBS_FINISHED, "Other", "Failed", "Other"] == 45


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("{}", id="another document"),
        pytest.param("[" * 5000, id="a deep one"),
        pytest.param('[["x"], 7, null, ["x", "y", -1], ["x", "y", "z"], ["x", 1, 2]]', id="rows"),
        pytest.param('[["x", "y", NaN], ["x", "y", 1e400], ["x", "y", true]]', id="no numbers"),
    ],
)
def test_manually_edited_totals_are_ignored(text: str) -> None:
    assert parse_totals(text) == {}


def test_a_lone_surrogate_in_a_label_does_not_break_the_metrics() -> None:
    ((_, labels),) = parse_totals('[["x", "team\\ud800", 7]]')

    assert labels == ("team?",)


def test_a_deleted_config_map_is_created_again() -> None:
    api, totals = FakeApi(), Totals()
    store = KubeTotals(api, "finetune-system")

    async def scene() -> None:
        totals.count("team", NIGHT)
        await totals._save(store)
        del api.objects[PLACE]
        totals.count("team", NIGHT)
        await totals._try_to_save(store)
        await totals._try_to_save(store)

    asyncio.run(scene())

    assert "ModelNotFound" in api.objects[PLACE]["data"][KEY]
