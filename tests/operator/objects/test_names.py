# SPDX-License-Identifier: Apache-2.0
import re

import pytest

from finetune_operator.objects.names import (
    FINETUNE_JOBS,
    child_name,
    event_name,
    job_key,
    job_label,
)

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

NAMES = [
    pytest.param("balloon", id="plain"),
    pytest.param("a", id="one letter"),
    pytest.param("7b-test", id="begins with a digit"),
    pytest.param("0", id="one digit"),
    pytest.param("team.model.v2", id="with dots"),
    pytest.param("a" * 46, id="as long as a plain one may be"),
    pytest.param("a" * 47, id="one longer"),
    pytest.param("a" * 253, id="as long as can be"),
    pytest.param(("a" * 62 + ".") * 3 + "b" * 60, id="long with dots"),
    pytest.param("balloon-0123456789", id="looks hashed"),
    pytest.param("1-2-3." * 20 + "x", id="digits and dots"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_child_name_leaves_room_for_the_pods_of_an_indexed_job(name: str) -> None:
    child = child_name(name, 99999)

    assert DNS_LABEL.fullmatch(child)
    assert len(f"{child}-999-abcde") <= 63


@pytest.mark.parametrize("name", NAMES)
def test_a_label_value_is_valid(name: str) -> None:
    assert LABEL_VALUE.fullmatch(job_label(name))
    assert len(job_label(name)) <= 63


def test_a_short_name_is_kept_unchanged() -> None:
    assert child_name("balloon", 3) == "balloon-3"
    assert job_label("balloon") == "balloon"


def test_names_never_change_between_versions() -> None:
    assert child_name("7b.x", 1) == "j-7b-x-7761ffe697-1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("team.a", "team-a", id="dot against dash"),
        pytest.param("a" * 60, "a" * 61, id="same beginning"),
        pytest.param("1a", "j-1a", id="digit against its replacement"),
    ],
)
def test_different_jobs_have_different_children(one: str, other: str) -> None:
    assert child_name(one, 1) != child_name(other, 1)
    assert job_label(one) != job_label(other)


def test_no_job_name_equals_the_hashed_name_of_another() -> None:
    stem = child_name("team.a", 1).removesuffix("-1")

    assert child_name(stem, 1) != child_name("team.a", 1)


def test_attempts_of_different_jobs_have_different_names() -> None:
    names = ["a", "a-1", "a-1-1", "a-2"]
    children = [child_name(name, attempt) for name in names for attempt in range(1, 13)]

    assert len(set(children)) == len(children)


def test_a_shortened_label_equals_no_valid_name() -> None:
    assert "_" in job_label("a" * 64)


def test_an_event_name_is_repeated_only_for_the_same_event() -> None:
    assert event_name("balloon", "uid", "Failed") == event_name("balloon", "uid", "Failed")
    assert event_name("balloon", "uid", "Failed") != event_name("balloon", "uid", "Succeeded")


def test_paths_match_the_api_servers() -> None:
    root = "/apis/finetune.dev/v1alpha1"
    assert FINETUNE_JOBS.path() == f"{root}/finetunejobs"
    assert FINETUNE_JOBS.path("team", "x") == f"{root}/namespaces/team/finetunejobs/x"


def test_a_shortened_key_contains_enough_hash_bits_to_prevent_collisions() -> None:
    """An attacker who found a name with the same key would get another job's children."""
    assert re.fullmatch(r"a{30}_[0-9a-f]{32}", job_key("a" * 64))
    assert job_key("a" * 63) == "a" * 63


def test_labels_stay_compatible_with_older_operators() -> None:
    assert re.fullmatch(r"a{52}_[0-9a-f]{10}", job_label("a" * 64))
