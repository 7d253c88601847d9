# SPDX-License-Identifier: Apache-2.0
"""The object store's layout: names sort like their steps."""

import pytest

from finetune_contract.layout import checkpoint_prefix, step_of_manifest


def test_checkpoint_names_sort_by_step() -> None:
    steps = [10, 9, 100, 2]

    assert sorted(map(checkpoint_prefix, steps)) == list(map(checkpoint_prefix, sorted(steps)))


@pytest.mark.parametrize(
    ("path", "step"),
    [
        (f"{checkpoint_prefix(30)}/manifest.json", 30),
        (f"{checkpoint_prefix(30)}/attempt-1/manifest.json", None),
        ("checkpoints/step-x/manifest.json", None),
        ("adapter/manifest.json", None),
        ("manifest.json", None),
    ],
)
def test_only_a_checkpoints_own_manifest_counts(path: str, step: int | None) -> None:
    assert step_of_manifest(path) == step
