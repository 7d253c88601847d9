# SPDX-License-Identifier: Apache-2.0
"""The errors of a reader, and the column names of a table. Pure."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class BrokenData(ValueError):
    """A file, or a row of one, whose content does not match its file name."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Names the file in errors."""
    try:
        yield
    except BrokenData as broken:
        name = place.rsplit("::", 1)[-1].rsplit("/", 1)[-1]
        raise BrokenData(f"{name}: {broken}", broken.remedy) from broken


def broken_in(error: BaseException | None) -> BrokenData | None:
    """A reader's error inside an error of `datasets`."""
    while error is not None:
        if isinstance(error, BrokenData):
            return error
        error = error.__cause__ or error.__context__
    return None


def column_names(header: Sequence[str]) -> list[str]:
    """The names in a header; a column without one gets pandas' name.

    Raises:
        BrokenData: there is none, or one name occurs twice.
    """
    if not any(header):
        raise BrokenData("there is no header", "write the names of the columns into the first line")
    names = [name or f"Unnamed: {place}" for place, name in enumerate(header)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BrokenData(f"the header names {twice} twice", "give each column a unique name")
    return names
