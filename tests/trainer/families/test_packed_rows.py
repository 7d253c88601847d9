# SPDX-License-Identifier: Apache-2.0
"""The rows of a pack are separate or mixed according to `packed_rows.toml`: tested with the
architectures themselves, TRL's collator and the attention that our ranks select.
"""

import tomllib

import pytest

from finetune_spec.attention import EAGER
from finetune_spec.base_model.packed_rows import TABLE, PackedRows, package_for, rows_of
from trainer.families.packed_rows import NotBuilt, measure
from trainer.families.small import every_type

pytestmark = pytest.mark.slow  # Importing torch takes a quarter of a minute.

TYPES = sorted(
    each
    for rows, types in tomllib.loads(TABLE.read_text()).items()
    if rows in {*PackedRows}
    for each in types
)
FEW = ("llama", "gemma2", "gpt_oss", "falcon", "bloom", "mamba", "jamba", "bamba", "lfm2")
"""Some of each kind."""


def seen(model_type: str, attention: str | None = None) -> tuple[PackedRows, str | None]:
    try:
        rows, package = measure(model_type, attention)
    except NotBuilt:
        return PackedRows.UNMEASURED, None
    return rows, package or None


def said(model_type: str, attention: str | None = None) -> tuple[PackedRows, str | None]:
    return rows_of(model_type, attention), package_for(model_type)


def test_the_table_lists_every_architecture_that_generates_text() -> None:
    assert list(every_type()) == TYPES


@pytest.mark.parametrize("attention", [None, EAGER])
@pytest.mark.parametrize("model_type", FEW)
def test_packed_and_single_rows_of_an_architecture_agree_as_the_table_states(
    model_type: str, attention: str | None
) -> None:
    assert seen(model_type, attention) == said(model_type, attention)


@pytest.mark.long
@pytest.mark.parametrize("attention", [None, EAGER])
@pytest.mark.parametrize("model_type", [each for each in TYPES if each not in FEW])
def test_every_architecture_behaves_as_the_table_states(
    model_type: str, attention: str | None
) -> None:
    assert seen(model_type, attention) == said(model_type, attention)


def test_a_wrong_table_would_be_detected() -> None:
    """The measurement distinguishes the three kinds, and not all models are of one kind."""
    assert {seen(each)[0] for each in FEW} == {
        PackedRows.APART,
        PackedRows.MIXED,
        PackedRows.REFUSED,
    }
