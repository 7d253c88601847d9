# SPDX-License-Identifier: Apache-2.0
"""A model of the hub as a directory whose files are read in parts, so that its weights can be
checked before gigabytes are downloaded.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import quote

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_trainer.inputs.hub.bounded import (
    ALL_SECONDS,
    REQUEST_SECONDS,
    FilePart,
    HubReader,
    HubSilent,
    TooMuch,
)

BEGINNING_BYTES = 64 * 1024
"""It contains the complete header of most weights files."""
MOST_READ_AHEAD = 256
"""Files of one model. DeepSeek-V3 has 163 weights files."""
_AT_ONCE = 8
_LARGEST_LISTING = 16 * 1024**2

Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class HubRepository:
    """One commit of a repository; a `ModelFolder`."""

    repository: str
    revision: str
    files: Collection[str]
    """The paths of all files."""
    endpoint: str | None
    reader: HubReader
    _beginnings: dict[str, FilePart] = field(default_factory=dict)

    def names(self) -> list[str]:
        return sorted({path.split("/")[0] for path in self.files})

    def size(self, path: str) -> int:
        total = self._beginning(path).total
        if total is None:
            raise HubSilent(f"the hub does not send the size of {path:.100}")
        return total

    def read_range(self, path: str, start: int, length: int) -> bytes:
        beginning = self._beginning(path)
        known = beginning.content
        if beginning.is_whole or start + length <= len(known):
            return known[start : start + length]
        begin = max(start, len(known))
        return known[start:] + self._get(path, begin, start + length - begin).content

    def read_ahead(self, paths: Collection[str]) -> None:
        """Requests the beginnings of these files, several at a time.

        Raises:
            TooMuch: there are too many.
        """
        if len(paths) > MOST_READ_AHEAD:
            raise TooMuch(f"the model has more than {MOST_READ_AHEAD} files")
        waiting: SimpleQueue[str] = SimpleQueue()
        for path in paths:
            waiting.put(path)

        def work() -> None:
            while True:
                try:
                    self._beginning(waiting.get_nowait())
                except (OSError, Empty):
                    return  # Reading the file raises the error again.

        # Not a pool: the interpreter waits for its threads before it exits, and a hub may be slow.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(_AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _beginning(self, path: str) -> FilePart:
        if path not in self._beginnings:
            self._beginnings[path] = self._get(path, 0, BEGINNING_BYTES)
        return self._beginnings[path]

    def _get(self, path: str, start: int, length: int) -> FilePart:
        return self.reader.get(
            file_url(self.repository, path, self.revision, self.endpoint), start, length
        )


def open_repository(
    repository: str, revision: str, environment: Mapping[str, str]
) -> HubRepository:
    """Lists the files of a model of the hub.

    Raises:
        OSError: the hub does not respond, or has no such model.
    """
    endpoint, reader = endpoint_in(environment), reader_for(environment)
    url = f"{endpoint or _default_endpoint()}/api/models/{repository}/revision/"
    answer = reader.get(url + quote(revision, safe=""))
    try:
        found = parse_object(answer.content, "the list of files", _LARGEST_LISTING)
    except InvalidDocument as error:
        raise HubSilent(str(error)) from None
    commit, listed = found.get("sha"), found.get("siblings")
    if not isinstance(listed, list):
        raise HubSilent("the hub sent no list of files")
    return HubRepository(
        repository=repository,
        revision=commit if isinstance(commit, str) and commit.isalnum() else revision,
        files=frozenset(_path_of(each) for each in listed) - {""},
        endpoint=endpoint,
        reader=reader,
    )


def file_url(repository: str, path: str, revision: str, endpoint: str | None) -> str:
    from huggingface_hub import hf_hub_url  # Imported late: it takes a third of a second.

    return str(hf_hub_url(repository, path, revision=revision, endpoint=endpoint))


def reader_for(environment: Mapping[str, str]) -> HubReader:
    """With the token of this environment, or else of this machine."""
    from huggingface_hub.utils import build_hf_headers

    token = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN") or None
    return HubReader(headers=build_hf_headers(token=token))


def endpoint_in(environment: Mapping[str, str]) -> str | None:
    """None for the one that this process started with."""
    return environment.get("HF_ENDPOINT", "").rstrip("/") or None


def within_time(action: Callable[[], Result]) -> Result:
    """Runs this in a thread, and abandons it if it takes too long: a server may send each byte just
    in time, for hours.

    Raises:
        HubSilent: it takes too long.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=work, name="hub", daemon=True)
    thread.start()
    thread.join(ALL_SECONDS + REQUEST_SECONDS)
    if errors:
        raise errors[0]
    if not results:
        raise HubSilent(f"the hub did not respond within {ALL_SECONDS:.0f} s")
    return results[0]


def _default_endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _path_of(sibling: Any) -> str:
    path = sibling.get("rfilename") if isinstance(sibling, Mapping) else None
    return path if isinstance(path, str) else ""
