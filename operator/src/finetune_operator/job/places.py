# SPDX-License-Identifier: Apache-2.0
"""Whether a URI or a path is below another one, in any spelling. No I/O here."""

from collections.abc import Sequence
from urllib.parse import unquote

_MAX_DECODINGS = 5


def is_below(place: str, prefix: str) -> bool:
    """Whether a URI or a path is the given directory or below it, without leaving it.

    Stores use a path as written, local directories are decoded: a place must be below in every
    reading, so that none of them leads elsewhere.
    """
    root, folder = _split(prefix.rstrip("/"))
    return all(
        found == root and segments[: len(folder)] == folder and _is_plain(segments)
        for found, segments in map(_split, _readings(place))
    )


def _readings(place: str) -> list[str]:
    """The place as written, and decoded until nothing is left to decode."""
    readings = [place]
    for _ in range(_MAX_DECODINGS):
        if (decoded := unquote(readings[-1])) == readings[-1]:
            return readings
        readings.append(decoded)
    # So many levels of encoding hide something: the last reading is refused.
    return [*readings, ".."]


def _split(place: str) -> tuple[str, list[str]]:
    """The scheme or root, and the names after it; a trailing slash is ignored."""
    scheme, separator, rest = place.partition("://")
    root, rest = (f"{scheme}://", rest) if separator else ("", place)
    return root, rest.removesuffix("/").split("/")


def _is_plain(segments: Sequence[str]) -> bool:
    """Whether no name is empty or refers to another directory; a path's root may be empty."""
    return not any(
        segment in (".", "..") or "\\" in segment or not segment.isprintable()
        for segment in segments
    ) and all(segments[1:])
