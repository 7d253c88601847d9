# SPDX-License-Identifier: Apache-2.0
"""Other tools' words are data files: an error in a table is reported with its place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_spec.config.suggest import tables

FOLDER = Path(tables.__file__).with_name("words")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("lr", "names.toml: Expected '='", id="no TOML"),
        pytest.param(
            'learning_rate = "lr"', 'names.toml: learning_rate: found "lr"', id="a text for a list"
        ),
        pytest.param(
            "learning_rate = [1]", "names.toml: learning_rate: found [1], expected texts", id="1"
        ),
        pytest.param(
            'seed = ["s"]\nsave_steps = ["s"]', "names.toml: s is listed twice", id="two meanings"
        ),
    ],
)
def test_a_broken_table_of_words_is_reported_with_its_path(
    text: str, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "names.toml"
    file.write_text(text)

    with pytest.raises(tables.BrokenTable) as raised:
        tables.by_word(tables.read(file), file.name)

    assert str(raised.value).startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("groups = 1", "t: found 1, expected blocks of words and means", id="no list"),
        pytest.param(
            "[[groups]]\nword = ['a']\nmeans = {}",
            "t[0]: found word, means, expected words, means",
            id="a misspelt field",
        ),
        pytest.param(
            "[[groups]]\nwords = ['a']\nmeans = {b = 1}",
            "t[0].means: b: found 1, expected texts",
            id="a meaning that is no text",
        ),
        pytest.param(
            "[[groups]]\nwords = ['a', 'a']\nmeans = {}", "t: a is listed twice", id="twice"
        ),
        pytest.param("groups = ['a']", 't[0]: found "a", expected a table', id="no block"),
    ],
)
def test_a_broken_table_of_groups_is_reported_with_its_path(
    text: str, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "groups.toml"
    file.write_text(text)

    with pytest.raises(tables.BrokenTable) as raised:
        tables.by_group(tables.read(file)["groups"], "t")

    assert str(raised.value).startswith(complaint)


def test_every_table_is_readable_and_has_words() -> None:
    doors = (
        *(tables.other_names, tables.other_tools, tables.places, tables.choice_habits),
        *(tables.sections, tables.wrappers, tables.answers_by_value),
    )

    assert all(len(door()) >= 9 for door in doors)
    assert {file.stem for file in FOLDER.iterdir()} == {
        *("choice_habits", "other_names", "other_tools", "other_values", "places", "sections")
    }


def test_every_key_with_answers_by_value_has_a_default_answer() -> None:
    assert set(tables.answers_by_value()) <= set(tables.other_tools())


def test_a_valid_config_loads_no_suggestion_table() -> None:
    config = {"model_name_or_path": "m", "dataset_name": "d", "learning_rate": 1e-4}
    program = (
        "import json, sys; from finetune_spec.config import parse_config; "
        "problems = list(parse_config(json.loads(sys.argv[1]))[1]); "
        "print(len(problems), 'tomllib' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(config)], capture_output=True, text=True
    )

    assert done.stdout.split() == ["0", "False"], done.stderr
