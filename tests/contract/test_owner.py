# SPDX-License-Identifier: Apache-2.0
"""`owner.json`, as written and read by releases with and without a cluster in it."""

import json

import pytest

from finetune_contract.documents import InvalidDocument
from finetune_contract.owner import TAKE_OVER, Owner, is_cluster_id, take_over_of

OWNER = Owner(namespace="team-a", name="balloon", cluster="5f0c")


def test_a_written_owner_is_read_back_unchanged() -> None:
    assert Owner.from_json(OWNER.to_json(), "owner.json") == OWNER


def test_older_releases_find_the_names_that_they_compare() -> None:
    written = json.loads(OWNER.to_json())

    assert (written["namespace"], written["name"]) == ("team-a", "balloon")


@pytest.mark.parametrize("text", ['{"namespace": "a", "name": "b"}', b'{"cluster": null}', "{}"])
def test_an_owner_document_of_an_older_release_names_no_cluster(text: str | bytes) -> None:
    assert Owner.from_json(text, "owner.json").cluster is None


def test_without_a_cluster_the_owner_document_equals_an_older_releases() -> None:
    assert Owner(namespace="a", name="b").to_json() == '{"namespace": "a", "name": "b"}'


@pytest.mark.parametrize("text", ["", "[]", "[" * 9000, "null", b"\xff"])
def test_an_owner_document_that_is_not_an_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidDocument, match=r"owner\.json"):
        Owner.from_json(text, "owner.json")


@pytest.mark.parametrize(
    "value",
    [
        "5f0c6a0e-7a5e-4f5e-9d59-0c8b6d3f7a11",
        "prod-1",
        "arn:aws:eks:eu-west-1:111122223333:cluster/prod",
        "a" * 253,
    ],
)
def test_valid_cluster_ids_are_accepted(value: str) -> None:
    assert is_cluster_id(value)
    assert take_over_of({TAKE_OVER: value}) == value


@pytest.mark.parametrize(
    "value",
    ["", " ", "a b", "a\n", "-a", "$(id)", "a'b", 'a"b', "a" * 254, "a" * 200_000, 7, None, ["a"]],
)
def test_no_location_can_be_taken_over_with_an_invalid_cluster_id(value: object) -> None:
    assert not is_cluster_id(value)
    assert take_over_of({TAKE_OVER: value}) is None
