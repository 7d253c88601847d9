# SPDX-License-Identifier: Apache-2.0
from finetune_operator.objects import conditions
from finetune_operator.objects.conditions import Claim
from support.factories import NOW, seconds

LATER = NOW + seconds(60)


def claim(type_: str = "Ready", *, is_true: bool = True, message: str = "") -> Claim:
    return Claim(type=type_, is_true=is_true, reason="Because", message=message)


def test_a_condition_has_all_fields_that_kubernetes_requires() -> None:
    assert conditions.merge([], [claim(message="so it is")], 3, NOW) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Because",
            "message": "so it is",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-05-04T12:00:00Z",
        }
    ]


def test_the_transition_time_changes_only_with_the_status() -> None:
    first = conditions.merge([], [claim()], 1, NOW)
    same = conditions.merge(first, [claim(message="new words")], 2, LATER)
    changed = conditions.merge(same, [claim(is_true=False)], 2, LATER)

    assert same[0]["lastTransitionTime"] == "2026-05-04T12:00:00Z"
    assert same[0]["message"] == "new words"
    assert changed[0]["lastTransitionTime"] == "2026-05-04T12:01:00Z"


def test_a_message_is_never_longer_than_the_api_server_accepts() -> None:
    (condition,) = conditions.merge([], [claim(message="x" * 40_000)], 1, NOW)

    assert condition["message"] == "x" * 32_768


def test_a_condition_that_no_longer_applies_is_removed() -> None:
    before = conditions.merge([], [claim("Reconciling"), claim("Ready")], 1, NOW)

    after = conditions.merge(before, [claim("Ready")], 1, LATER)

    assert [condition["type"] for condition in after] == ["Ready"]
    assert conditions.is_true(after, "Ready")
    assert not conditions.is_true(after, "Reconciling")


def test_a_long_list_of_errors_shows_the_first_and_the_number_of_the_others() -> None:
    few, many = ["a is wrong", "b is wrong"], [f"key_{number} is unknown" for number in range(5000)]

    assert conditions.tell_all(few) == "a is wrong; b is wrong"
    assert conditions.tell_all(many).endswith("; key_19 is unknown; and 4980 more")
