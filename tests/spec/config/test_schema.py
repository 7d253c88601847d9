# SPDX-License-Identifier: Apache-2.0
"""The version of TRL that a job's config is checked against."""

import pytest

from finetune_spec.config.parse.schema import NEWEST, known_versions, load_schema, version_of_image


@pytest.mark.parametrize(
    ("image", "version"),
    [
        pytest.param("registry/team/trainer:0.3.0-trl1.15.0", "1.15.0", id="in the tag"),
        pytest.param("trainer:trl1.15.0", "1.15.0", id="as the tag"),
        pytest.param("trainer:trl-1.15.0-cuda12.8", "1.15.0", id="within the tag"),
        pytest.param("trainer:TRL_1.15.0", "1.15.0", id="in capitals"),
        pytest.param("registry:5000/trainer:trl1.15.0", "1.15.0", id="behind a registry's port"),
        pytest.param("trainer:trl1.15.0@sha256:00ff", "1.15.0", id="before a digest"),
        pytest.param("registry/trainer-trl1.15.0:7", "1.15.0", id="in the name"),
        pytest.param("trainer-trl1.14.0:trl1.15.0", "1.15.0", id="the tag before the name"),
        pytest.param("trainer:trl1.15", "1.15", id="without its last number"),
        pytest.param("trainer:trl1.15.0rc1", "1.15", id="a candidate is not the release"),
        pytest.param("trainer:v2", NEWEST, id="a tag without it"),
        pytest.param("registry:5000/trainer", NEWEST, id="a port and no tag"),
        pytest.param("trl1.15.0.example.org/trainer:2", NEWEST, id="a registry's name"),
        pytest.param("trainer:control1.15.0", NEWEST, id="another word"),
        pytest.param("registry/trainer@sha256:00ff", NEWEST, id="a digest alone"),
        pytest.param("", NEWEST, id="no image"),
    ],
)
def test_an_images_tag_contains_the_trl_version_it_follows(image: str, version: str) -> None:
    assert version_of_image(image) == version


def test_several_versions_are_supported_at_once() -> None:
    assert {NEWEST, "1.15.0"} <= set(known_versions())


@pytest.mark.parametrize("version", known_versions())
def test_a_schema_is_found_by_its_version(version: str) -> None:
    schema = load_schema(version)

    assert schema.trl_version == version
    assert schema.default("learning_rate") == 2e-5


def test_versions_differ_in_the_values_they_accept() -> None:
    older, newer = load_schema("1.15.0"), load_schema("1.16.0")

    assert older.types("pad_to_multiple_of") == ("integer", "null")
    assert newer.types("pad_to_multiple_of") == ("integer", "string", "null")
    assert "activation_checkpointing" in newer.properties.keys() - older.properties.keys()


@pytest.mark.parametrize("version", known_versions())
def test_every_key_is_explained(version: str) -> None:
    properties = load_schema(version).properties

    assert [key for key, schema in properties.items() if not schema.get("description")] == []
    assert "%%" not in "".join(schema["description"] for schema in properties.values())
