# SPDX-License-Identifier: Apache-2.0
"""Any user who may create Events can create any number of any size about a job's pods: the operator
keeps a bounded part of them.
"""

import asyncio
from typing import Any

import pytest

from finetune_operator.kube.events import LONGEST_MESSAGE, MOST_EVENTS, find_events
from finetune_operator.kube.failed_creates import find_complaint
from finetune_operator.objects.names import EVENTS
from support.factories import a_training_job
from support.fake_api import FakeApi

UID = a_training_job()["metadata"]["uid"]


def an_event(number: int, message: str = "no quota", **given: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": f"event-{number:06d}",
            "creationTimestamp": "2026-05-04T12:00:00Z",
        },
        "involvedObject": {"uid": UID},
        "reason": "FailedCreate",
        "message": message,
        **given,
    }


def an_api(*events: dict[str, Any]) -> FakeApi:
    api = FakeApi()
    for event in events:
        api.put(EVENTS, event)
    return api


def test_of_many_events_a_bounded_number_is_read() -> None:
    read = []

    class Counting(FakeApi):
        async def list_all(self, *arguments: Any, **options: Any) -> Any:
            async for event in super().list_all(*arguments, **options):
                read.append(event)
                yield event

    api = Counting()
    for number in range(5 * MOST_EVENTS):
        api.put(EVENTS, an_event(number))

    found = asyncio.run(find_events(api, UID, "team", "type=Warning"))

    assert len(found) == len(read) == MOST_EVENTS


@pytest.mark.parametrize("sign", ["x", " ", "\n", "must specify ", "limits.cpu,", "\x1b["])
def test_a_long_message_is_shortened(sign: str) -> None:
    api = an_api(an_event(1, sign * 100_000))

    complaint = asyncio.run(find_complaint(api, a_training_job()))

    assert 0 < len(complaint) <= LONGEST_MESSAGE


@pytest.mark.parametrize(
    "odd",
    [
        {"message": None},
        {"reason": None},
        {"series": None},
        {"lastTimestamp": None, "eventTime": None},
        {"series": {}},
        {"lastTimestamp": "tomorrow"},
    ],
)
def test_an_odd_event_hides_no_other(odd: dict[str, Any]) -> None:
    api = an_api(an_event(1, **odd), an_event(2, lastTimestamp="2026-05-04T13:00:00Z"))

    found = asyncio.run(find_events(api, UID, "team", "type=Warning"))

    assert {it["message"] for it in found} >= {"no quota"}
    assert len(found) == 2
