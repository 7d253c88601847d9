# SPDX-License-Identifier: Apache-2.0
"""A stub of the hub with models, on 127.0.0.1, with configurable delays and faults.

It implements the requests of `huggingface_hub` for a file: a commit and its files, metadata with
HEAD, and content, from any byte on. Its responses were derived from the client's source; whether
the real hub sends the same is not verified.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from finetune_trainer.inputs.hub.fetching import OFFLINE_VARIABLES

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 10_000
"""From this size on the stub identifies a file by its sha256, as the hub does for files in LFS."""


@dataclass
class FileHub:
    """The hub's files, the requests, and its faults."""

    repositories: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    endpoint: str = ""
    pieces: int = 1
    """The number of pieces in which a file is sent."""
    pause_seconds: float = 0.0
    """Between two of them."""
    breaks: dict[str, int] = field(default_factory=dict)
    """File -> the number of further responses that are broken off in the middle."""
    stops_at: dict[str, int] = field(default_factory=dict)
    """File -> the byte at which the hub stops until it is removed from here."""
    damages: dict[str, int] = field(default_factory=dict)
    """File -> the number of further responses that have a wrong first byte."""
    statuses: list[int] = field(default_factory=list)
    """The first statuses to send."""
    lists_files: bool = True
    ignores_ranges: bool = False
    """Whether every request for a file gets all of it."""
    redirects: dict[str, str] = field(default_factory=dict)
    """File -> the URL to which a request for it is redirected, as the hub does for large files."""
    tokens: list[str] = field(default_factory=list)
    """The token of each request, if it has one."""
    revisions: list[str] = field(default_factory=list)
    """The revision in each request for a file."""
    requests: list[str] = field(default_factory=list)
    """`GET config.json`, `GET model.safetensors from 1024`, `GET model.safetensors bytes 0-8`."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """A response has reached the byte in `stops_at`."""
    ended: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, files: Mapping[str, bytes] | Path) -> None:
        if isinstance(files, Path):
            folder = files
            files = {
                file.relative_to(folder).as_posix(): file.read_bytes()
                for file in folder.rglob("*")
                if file.is_file()
            }
        self.repositories[name] = files

    def gets(self, name: str) -> list[str]:
        """The requests for a file's content, from any byte to the end."""
        found = (it for it in self.requests if it.startswith(f"GET {name}"))
        return [it for it in found if " bytes " not in it]

    def parts(self, name: str) -> list[str]:
        """The requests for parts of a file."""
        return [it for it in self.requests if it.startswith(f"GET {name} bytes ")]


@contextmanager
def serve_to_an_empty_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHub]:
    """A hub for clients that have fetched nothing yet, and that may send requests."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with serve() as hub:
        yield hub


@contextmanager
def serve() -> Iterator[FileHub]:
    """A hub that serves until the block ends."""
    hub = FileHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            try:
                _answer(hub, self)
            except ConnectionError:
                self.close_connection = True  # The client has disconnected.

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(hub: FileHub, request: BaseHTTPRequestHandler) -> None:
    path = unquote(urlsplit(request.path).path).strip("/")
    if token := request.headers.get("Authorization"):
        hub.tokens.append(token)
    if hub.statuses:
        hub.requests.append(f"{request.command} {path}")
        _send(request, hub.statuses.pop(0), b"{}", {})
        return
    listed = hub.repositories if hub.lists_files else {}
    match path.split("/"):
        case ["api", "models", owner, name, *_] if f"{owner}/{name}" in listed:
            hub.requests.append(f"{request.command} {path}")
            files = [{"rfilename": it} for it in hub.repositories[f"{owner}/{name}"]]
            body = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": files}
            _send(request, 200, json.dumps(body).encode(), {})
        case [owner, name, "resolve", revision, *parts] if (
            content := hub.repositories.get(f"{owner}/{name}", {}).get("/".join(parts))
        ) is not None:
            hub.revisions.append(revision)
            _send_file(hub, request, "/".join(parts), content)
        case _:
            hub.requests.append(f"{request.command} {path}")
            _send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})


def _send_file(hub: FileHub, request: BaseHTTPRequestHandler, name: str, content: bytes) -> None:
    wanted = request.headers.get("Range", "")
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    begin, end = int(first or 0), min(int(last or len(content)), len(content) - 1)
    which = f" bytes {begin}-{last}" if last else f" from {begin}" if begin else ""
    hub.requests.append(f"{request.command} {name}{which}")
    headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest_of(content)}"'}
    if address := hub.redirects.get(name):
        _send(request, 302, b"", {"Location": address})
        return
    if wanted and begin >= len(content):
        _send(request, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
        return
    is_part = bool(wanted) and not hub.ignores_ranges
    if is_part:
        headers["Content-Range"] = f"bytes {begin}-{end}/{len(content)}"
    body = content[begin : end + 1] if is_part else content
    request.send_response(206 if is_part else 200)
    for key, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(key, value)
    request.end_headers()
    if request.command == "GET":
        _send_in_pieces(hub, request, name, begin, body)


def _send_in_pieces(
    hub: FileHub, request: BaseHTTPRequestHandler, name: str, begin: int, body: bytes
) -> None:
    if hub.damages.get(name):
        hub.damages[name] -= 1
        body = bytes([body[0] ^ 1]) + body[1:]
    size = max(1, -(-len(body) // hub.pieces))
    for place in range(0, len(body), size):
        if place:
            time.sleep(hub.pause_seconds)
        piece = body[place : place + size]
        limit = hub.stops_at.get(name)
        if limit is not None and begin + place + len(piece) > limit:
            sent = max(0, limit - begin - place)
            request.wfile.write(piece[:sent])
            request.wfile.flush()
            hub.stopped.set()
            while name in hub.stops_at:
                if hub.ended.wait(0.05):
                    return
            piece = piece[sent:]
        if hub.breaks.get(name) and place + size >= len(body) / 2:
            hub.breaks[name] -= 1
            request.wfile.write(piece[: len(piece) // 2])
            request.wfile.flush()
            request.connection.shutdown(2)
            request.close_connection = True
            return
        request.wfile.write(piece)


def digest_of(content: bytes) -> str:
    """The hub's identifier of a file."""
    if len(content) >= LARGE_BYTES:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]
) -> None:
    request.send_response(status)
    for key, value in {
        **headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }.items():
        request.send_header(key, value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(body)
