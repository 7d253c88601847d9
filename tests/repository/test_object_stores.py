# SPDX-License-Identifier: Apache-2.0
"""docs/platform/object-stores.md lists the existing authentication methods."""

import re
from pathlib import Path

import pytest

from finetune_trainer.storage.credentials import EXPLICIT_WAYS
from finetune_trainer.storage.refusals import TABLE
from repository.store_refusals import PAGE, with_refusals

TEXT = (Path(__file__).parents[2] / "docs" / "platform" / "object-stores.md").read_text()


@pytest.mark.parametrize("scheme", EXPLICIT_WAYS)
def test_each_store_is_listed_with_every_way_of_authenticating(scheme: str) -> None:
    (row,) = [line for line in TEXT.splitlines() if f"`{scheme}://" in line and line[0] == "|"]
    ways = row.split("|")[3].split(";")

    assert [tuple(re.findall(r"`(\w+)`", way)) for way in ways] == list(EXPLICIT_WAYS[scheme])


def test_the_page_lists_the_meaning_of_each_error_code() -> None:
    page = PAGE.read_text()

    assert page == with_refusals(page)
    assert all(f"`{code}`" in page for row in TABLE for code in row.codes)


def test_no_error_code_has_two_meanings() -> None:
    codes = [code for row in TABLE for code in row.codes]

    assert len(codes) == len(set(codes))
