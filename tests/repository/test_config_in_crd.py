# SPDX-License-Identifier: Apache-2.0
"""The generated descriptions of TRL's keys in the CRD."""

import json
import re
from typing import Any

import pytest
import yaml

from finetune_spec.config.parse.schema import NEWEST, Schema
from finetune_spec.config.parse.spellings import OLDER
from repository.crd_config import CRD, properties_of, with_properties
from repository.every_trl import every_key, keys_of

RESOURCE = yaml.safe_load(CRD.read_text())
VERSION = RESOURCE["spec"]["versions"][0]
CONFIG = VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["config"]
TRAINER_LOCK = CRD.parents[1] / "requirements" / "trainer.txt"

LARGEST_ANNOTATION = 256 * 1024
"""`kubectl apply` keeps the complete CRD in one."""


def a_schema(version: str = "2.0.0", **properties: Any) -> Schema:
    return Schema(trl_version=version, properties=properties)


def in_crd(*schemas: Schema) -> Any:
    """The CRD's schema for the only key of these schemas."""
    (field,) = properties_of(keys_of(schemas)).values()
    return field


def test_the_crd_has_the_keys_of_every_supported_trl() -> None:
    text = CRD.read_text()

    assert text == with_properties(text), "run make generate"
    assert {*every_key(), *OLDER} == set(CONFIG["properties"])


def test_the_crd_is_small_enough_for_kubectl_apply() -> None:
    assert len(json.dumps(RESOURCE)) < LARGEST_ANNOTATION


def test_the_newest_schema_belongs_to_the_pinned_trl() -> None:
    assert re.findall(r"^trl==(\S+)", TRAINER_LOCK.read_text(), re.MULTILINE) == [NEWEST]


def test_unknown_keys_reach_our_own_check() -> None:
    assert CONFIG["x-kubernetes-preserve-unknown-fields"] is True


def test_the_api_server_writes_no_default_into_a_config() -> None:
    assert [key for key, field in CONFIG["properties"].items() if "default" in field] == []


def test_a_null_is_kept_for_our_own_check() -> None:
    assert [key for key, field in CONFIG["properties"].items() if not field["nullable"]] == []


def test_a_key_is_explained_with_its_type_and_default() -> None:
    assert CONFIG["properties"]["learning_rate"] == {
        "description": "The initial learning rate for AdamW. Default: 2e-05.",
        "type": "number",
        "nullable": True,
    }


def test_choices_are_named_where_the_api_server_cannot_check_them() -> None:
    field = CONFIG["properties"]["dtype"]

    assert "One of auto, bfloat16, float16, float32." in field["description"]
    assert "enum" not in field


def test_the_choice_no_must_be_quoted() -> None:
    field = CONFIG["properties"]["eval_strategy"]

    assert field["enum"] == ["no", "steps", "epoch"]
    assert 'Write "no" in quotes' in field["description"]


def test_an_older_spelling_has_the_type_of_the_current_one() -> None:
    older, todays = (CONFIG["properties"][key] for key in ("max_seq_length", "max_length"))

    assert older == {**todays, "description": "Older spelling of max_length."}


def test_an_owned_key_describes_what_to_set_instead() -> None:
    assert CONFIG["properties"]["output_dir"]["description"] == (
        "Set by the operator: set spec.output.uri instead."
    )


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        pytest.param(["integer", "null"], {"type": "integer"}, id="one type"),
        pytest.param(["integer", "number"], {"type": "number"}, id="numbers"),
        pytest.param(
            ["integer", "string"], {"x-kubernetes-int-or-string": True}, id="a number or a text"
        ),
        pytest.param(
            ["string", "array"], {"x-kubernetes-preserve-unknown-fields": True}, id="a union"
        ),
        pytest.param([], {"x-kubernetes-preserve-unknown-fields": True}, id="no JSON type"),
        pytest.param(
            ["object"],
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            id="a mapping",
        ),
    ],
)
def test_a_type_is_declared_as_far_as_an_api_server_can_check_it(
    types: list[str], expected: dict[str, Any]
) -> None:
    field = in_crd(a_schema(key={"type": types}))

    assert field == {"description": field["description"], "nullable": True, **expected}


def test_a_type_that_differs_between_versions_is_left_to_our_own_check() -> None:
    field = in_crd(
        a_schema("2.0.0", key={"type": ["array"]}), a_schema("1.0.0", key={"type": ["string"]})
    )

    assert "type" not in field
    assert field["x-kubernetes-preserve-unknown-fields"] is True


def test_choices_of_all_versions_are_accepted_by_the_api_server() -> None:
    field = in_crd(
        a_schema("2.0.0", key={"type": ["string"], "enum": ["a", "b"]}),
        a_schema("1.0.0", key={"type": ["string"], "enum": ["a", "c"]}),
    )

    assert field["enum"] == ["a", "b", "c"]


def test_a_key_that_an_older_trl_lacks_is_marked() -> None:
    newer, older = a_schema("2.0.0", key={"type": ["string"]}), a_schema("1.0.0")

    assert in_crd(newer, older)["description"].endswith("Not in images of TRL 1.0.0.")


def test_a_key_removed_from_the_newest_trl_is_still_explained() -> None:
    newer, older = a_schema("2.0.0"), a_schema("1.0.0", key={"type": ["string"]})

    assert in_crd(newer, older)["type"] == "string"
    assert in_crd(newer, older)["description"].endswith("Not in images of TRL 2.0.0.")
