# SPDX-License-Identifier: Apache-2.0
"""Reads parts of files from a hub, with limits on bytes, time and redirects.

A hub, and the servers that it redirects to, are untrusted. Any unexpected response is `HubSilent`:
the caller then continues without the facts. A token is only sent to the hub itself.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

REQUEST_SECONDS = 5.0
"""Longest wait for a connection, or for the next bytes of a response."""
ALL_SECONDS = 20.0
"""For all requests about one model."""
MOST_BYTES = 64 * 1024**2
"""Of all responses about one model."""
MOST_REDIRECTS = 5

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_BEYOND = re.compile(r"bytes \*/(\d{1,18})")
_SKIPPED_BYTES = 1024**2
"""The most that is read and dropped if a server ignores the requested range."""


class HubSilent(ConnectionError):
    """The hub did not send the requested bytes."""


class TooMuch(HubSilent):
    """The bytes exceed the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A part of a file."""

    content: bytes
    total: int | None
    """The size of the file; None if the server did not send it."""

    @property
    def is_whole(self) -> bool:
        return self.total == len(self.content)


@dataclass(slots=True, kw_only=True)
class HubReader:
    """The requests about one model, which share their limits. Several threads may use it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    bytes_left: int = MOST_BYTES
    until: float = field(default_factory=lambda: time.monotonic() + ALL_SECONDS)
    _lock: Lock = field(default_factory=Lock)

    def get(self, url: str, start: int = 0, length: int | None = None) -> FilePart:
        """At most `length` bytes from `start` on; fewer only if the file ends before. Without a
        length, the complete file.

        Raises:
            FileNotFoundError: the hub has no such file.
            PermissionError: the hub denies access to it.
            HubSilent: the hub did not send the bytes.
        """
        from huggingface_hub.utils import get_session  # Imported late: it takes a third of a second

        with self._lock:
            if self.bytes_left <= 0:
                raise TooMuch(f"more than {MOST_BYTES} bytes are needed")
        try:
            return self._get(get_session(), url, start, length)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the client and the libraries below have many
            raise HubSilent(" ".join(str(error).split()) or type(error).__name__) from None

    def _get(self, client: Any, url: str, start: int, length: int | None) -> FilePart:
        wanted = {**self.headers, "Accept-Encoding": "identity"}
        if length is not None:
            wanted["Range"] = f"bytes={start}-{start + length - 1}"
        request = client.build_request("GET", url, headers=wanted, timeout=REQUEST_SECONDS)
        for _ in range(MOST_REDIRECTS + 1):
            self._require_time()
            # The client would read the complete body of a redirect.
            response = client.send(request, stream=True, follow_redirects=False)
            try:
                if not response.has_redirect_location:
                    return self._read(response, start, length)
            finally:
                response.close()
            following = response.next_request
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise HubSilent("the hub redirects to a server without encryption")
            request = following
        raise HubSilent(f"the hub redirects more than {MOST_REDIRECTS} times")

    def _read(self, response: Any, start: int, length: int | None) -> FilePart:
        skipped, total = _place_in(response, start)
        if skipped > _SKIPPED_BYTES:
            raise TooMuch("the server does not support ranges")
        rest = None if total is None else max(0, total - start)
        expected = min(it for it in (length, rest, MOST_BYTES) if it is not None)
        content = bytearray()
        for chunk in response.iter_raw() if expected else ():
            self._require_time()
            self._take(len(chunk))
            content += chunk
            if len(content) >= skipped + expected:
                break
        content = content[skipped : skipped + expected]
        if len(content) < expected and rest is not None:
            raise HubSilent(f"the response ended after {len(content)} of {expected} bytes")
        return FilePart(content=bytes(content), total=total)

    def _require_time(self) -> None:
        if time.monotonic() > self.until:
            raise HubSilent(f"no complete response within {ALL_SECONDS:.0f} s")

    def _take(self, size: int) -> None:
        with self._lock:
            self.bytes_left -= size
            if self.bytes_left < 0:
                raise TooMuch(f"more than {MOST_BYTES} bytes are needed")


def _place_in(response: Any, start: int) -> tuple[int, int | None]:
    """The number of leading bytes to drop, and the size of the file.

    Raises:
        OSError: it is not this part of the file.
    """
    status, headers = response.status_code, response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        raise HubSilent("the response is compressed, although this was not requested")
    range_sent = headers.get("Content-Range", "")
    if status == 416 and (beyond := _BEYOND.fullmatch(range_sent)) and int(beyond[1]) <= start:
        return 0, int(beyond[1])
    if status == 206:
        place = _RANGE.fullmatch(range_sent)
        if place is None or int(place[1]) != start or int(place[3]) < start:
            raise HubSilent("the response is another part of the file")
        return 0, int(place[3])
    if status == 200:
        size = headers.get("Content-Length", "")
        return start, int(size) if size.isascii() and size.isdecimal() else None
    if status == 404:
        raise FileNotFoundError(f"{status} {response.reason_phrase:.100}")
    if status in (401, 403):
        raise PermissionError(f"{status} {response.reason_phrase:.100}")
    raise HubSilent(f"{status} {response.reason_phrase:.100}")
