# SPDX-License-Identifier: Apache-2.0
"""The suggestion of a check makes the config pass, for common keys of other tools."""

from collections.abc import Mapping
from typing import Any

import pytest

from support.config_verdicts import problems_of

SOUND: Mapping[str, Any] = {"model_name_or_path": "m", "dataset_name": "./d"}


def told(config: Mapping[str, Any]) -> str:
    return " | ".join(f"{it.path}: {it.message}" for it in problems_of({**SOUND, **config}))


@pytest.mark.parametrize(
    ("config", "words", "corrected"),
    [
        pytest.param(
            {"num_layers_unfrozen": -1},
            "leave the key out to train all layers, as -1 does in trlX",
            {},
            id="all layers in the form of trlX",
        ),
        pytest.param(
            {"dataset_name": "./boats.xlsx"},
            'dataset_name: found "./boats.xlsx", a spreadsheet: save each sheet as a CSV file '
            "with a header, and name that",
            {"dataset_name": "./boats.csv"},
            id="a spreadsheet",
        ),
        pytest.param(
            {"dataset_name": "s3://data/boats.ZIP"},
            "an archive: unpack it, and name the directory or the file that is in it",
            {"dataset_name": "s3://data/boats"},
            id="an archive",
        ),
        pytest.param(
            {"dataset_name": "https://example.com/boats.xls?key=1"},
            "found a web address of a spreadsheet: save each sheet as a CSV file",
            {"dataset_name": "https://example.com/boats.csv?key=1"},
            id="a spreadsheet in the web",
        ),
        pytest.param(
            {"dataset_name": "./train.jsonl.lz4"},
            "compress it with gzip, bzip2, xz or zstandard",
            {"dataset_name": "./train.jsonl.zst"},
            id="compressed otherwise",
        ),
        pytest.param(
            {"dataset_name": "./train.parquet.zst"},
            "a compressed table in a format that is only supported uncompressed: unpack it",
            {"dataset_name": "./train.parquet"},
            id="compressed Parquet",
        ),
        pytest.param(
            {"peft_method": "none"},
            "leave it out: full tuning is what happens without use_peft",
            {},
            id="full tuning in the form of fms-hf-tuning",
        ),
        pytest.param(
            {"training_data_path": "./a.jsonl"},
            "write dataset_name",
            {"dataset_name": "./a.jsonl"},
            id="data in the form of fms-hf-tuning",
        ),
        pytest.param(
            {"data_formatter_template": "{{input}}"},
            "write prompt_template and completion_template, with columns in single braces",
            {"prompt_template": "{input}", "completion_template": "{output}"},
            id="a template in the form of fms-hf-tuning",
        ),
    ],
)
def test_the_remedy_of_a_check_is_valid(
    config: Mapping[str, Any], words: str, corrected: Mapping[str, Any]
) -> None:
    assert words in told(config)
    assert told(corrected) == ""


@pytest.mark.parametrize(
    "place",
    ["org/boats.db", "org/name.v1.bin", "./boats.jsonl.gz", "./boats.csv.zst", "s3://b/zip"],
)
def test_names_that_only_resemble_such_files_are_accepted(place: str) -> None:
    assert told({"dataset_name": place}) == ""
