# SPDX-License-Identifier: Apache-2.0
"""docs/object-stores.md names the ways of signing in that there are."""

import re
from pathlib import Path

import pytest

from finetune_trainer.storage.credentials import EXPLICIT_WAYS

TEXT = (Path(__file__).parents[2] / "docs" / "object-stores.md").read_text()


@pytest.mark.parametrize("scheme", EXPLICIT_WAYS)
def test_each_store_is_listed_with_every_way_of_signing_in(scheme: str) -> None:
    (row,) = [line for line in TEXT.splitlines() if f"`{scheme}://" in line and line[0] == "|"]
    ways = row.split("|")[3].split(";")

    assert [tuple(re.findall(r"`(\w+)`", way)) for way in ways] == list(EXPLICIT_WAYS[scheme])
