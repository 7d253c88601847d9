# SPDX-License-Identifier: Apache-2.0
"""Whether a URI or a path lies below another one, however it is written. No I/O here."""

from collections.abc import Sequence
from urllib.parse import unquote

_MAX_DECODINGS = 5


def is_below(place: str, prefix: str) -> bool:
    """Whether a URI or a path is a folder or lies in it, and does not climb out of it.

    Stores take a path as it is written, local folders are decoded: a place must lie below in every
    reading, so that none of them leads elsewhere.
    """
    root, folder = _split(prefix.rstrip("/"))
    return all(
        found == root and segments[: len(folder)] == folder and _is_plain(segments)
        for found, segments in map(_split, _readings(place))
    )


def _readings(place: str) -> list[str]:
    """As it is written, and as it is decoded until nothing is left to decode."""
    readings = [place]
    for _ in range(_MAX_DECODINGS):
        if (decoded := unquote(readings[-1])) == readings[-1]:
            return readings
        readings.append(decoded)
    # Whoever encodes as often as that wants to hide something: the last reading is refused.
    return [*readings, ".."]


def _split(place: str) -> tuple[str, list[str]]:
    """The scheme, or the root, and the names after it; one slash at the end is as good as none."""
    scheme, separator, rest = place.partition("://")
    root, rest = (f"{scheme}://", rest) if separator else ("", place)
    return root, rest.removesuffix("/").split("/")


def _is_plain(segments: Sequence[str]) -> bool:
    """No name that means another folder, nor none at all, but before the first slash of a path."""
    return not any(
        segment in (".", "..") or "\\" in segment or not segment.isprintable()
        for segment in segments
    ) and all(segments[1:])
