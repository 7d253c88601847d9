# SPDX-License-Identifier: Apache-2.0
"""A matrix of which `make test` has one member of each kind, and `make test-all` the rest."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest


def keeping(short: Collection[str], matrix: Sequence[Any]) -> list[Any]:
    """The matrix, with all members marked long except those with these ids.

    Raises:
        LookupError: one of them is not an id of the matrix.
    """
    members = [it if hasattr(it, "marks") else pytest.param(it, id=str(it)) for it in matrix]
    if unknown := set(short) - {member.id for member in members}:
        raise LookupError(f"no member of the matrix has the id {', '.join(sorted(unknown))}")
    return [
        member if member.id in short else member._replace(marks=[*member.marks, pytest.mark.long])
        for member in members
    ]
