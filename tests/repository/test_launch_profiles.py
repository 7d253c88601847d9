# SPDX-License-Identifier: Apache-2.0
"""Each profile of `accelerate_config` is a file in `configs/accelerate`, and is a valid
config.
"""

from pathlib import Path

import pytest
import yaml

from finetune_spec.config.parse.launch.resolution import resolve_launch
from repository import launch_profiles
from support.config_verdicts import refusals


def test_the_profiles_match_what_make_generate_writes() -> None:
    found = {file: file.read_text() for file in launch_profiles.FOLDER.iterdir()}

    assert found == launch_profiles.contents()


@pytest.mark.parametrize("file", sorted(launch_profiles.contents()), ids=lambda file: file.stem)
def test_a_profile_given_inline_equals_the_profile_of_its_name(file: Path) -> None:
    whole = {"accelerate_config": yaml.safe_load(file.read_text())}

    assert refusals(whole, gpus_per_node=2, processes_per_node=2, nodes=1) == []
    assert resolve_launch(whole).values == resolve_launch({"accelerate_config": file.stem}).values
