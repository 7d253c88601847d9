# SPDX-License-Identifier: Apache-2.0
"""A stub of the hub on 127.0.0.1: a real one is not available here.

It implements, over real HTTP, the requests of `huggingface_hub` for a push: whoami, creating a
repository and a branch, checking a card, preparing an upload, files through git-lfs, and a commit.
Its responses were derived from the client's source; whether the real hub sends the same is not
verified.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_0123456789abcdefghij"


@dataclass
class HubStub:
    """The hub's contents, the requests, and its faults."""

    role: str = "write"
    owner: str = "team"
    writable: bool = True
    failures: dict[str, list[int]] = field(default_factory=dict)
    """The first statuses to send, by a part of the path."""
    slow: str = ""
    """A part of the path: requests for it get no response before the hub ends."""
    asked_slowly: threading.Event = field(default_factory=threading.Event)
    """Set by a request for that path."""
    requests: list[str] = field(default_factory=list)
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By branch: path and content."""
    messages: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    endpoint: str = ""

    def asked(self, part: str) -> int:
        return sum(part in request for request in self.requests)


@contextmanager
def serve() -> Iterator[HubStub]:
    """A hub that serves until the block ends."""
    hub, ended = HubStub(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            hub.requests.append(f"{self.command} {path}")
            if hub.slow and hub.slow in path:
                hub.asked_slowly.set()
                ended.wait()
            status, answer = _failure(hub, path) or _respond(hub, self, path, body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


Answer = tuple[int, Any]


def _failure(hub: HubStub, path: str) -> Answer | None:
    for part, statuses in hub.failures.items():
        if part in path and statuses:
            return statuses.pop(0), {"error": "not now"}
    return None


def _respond(hub: HubStub, request: BaseHTTPRequestHandler, path: str, body: bytes) -> Answer:
    if path.startswith("/blobs/"):
        # As in a store: the URL itself is the permission.
        hub.blobs[path.removeprefix("/blobs/")] = body
        return 200, {}
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return 401, {"error": "Invalid credentials in Authorization header"}
    match path.strip("/").split("/"):
        case ["api", "whoami-v2"]:
            return 200, {"name": hub.owner, "auth": {"accessToken": {"role": hub.role}}}
        case ["api", "repos", "create"]:
            return _make_repository(hub, json.loads(body))
        case ["api", "validate-yaml"]:
            return 200, {"errors": [], "warnings": []}
        case ["api", "models", _, _, "branch", branch]:
            hub.files.setdefault(branch, {})
            return 200, {}
        case ["api", "models", _, _, "preupload", branch]:
            return _prepare(hub, branch, json.loads(body))
        case ["api", "models", owner, name, "commit", branch]:
            return _commit(hub, f"{owner}/{name}", branch, body)
        case [*_, "info", "lfs", "objects", "batch"]:
            return _offer_places(hub, json.loads(body))
    return 404, {"error": f"no {path} here"}


def _make_repository(hub: HubStub, wanted: dict[str, Any]) -> Answer:
    if not hub.writable:
        return 403, {"error": f"You don't have the rights to create a model under {hub.owner}"}
    name = f"{wanted.get('organization') or hub.owner}/{wanted['name']}"
    known = name in hub.repositories
    hub.repositories.setdefault(name, wanted)
    address = f"{hub.endpoint}/{name}"
    if known:
        return 409, {"error": "You already created this model repo", "url": address}
    return 200, {"url": address, "name": name}


def _prepare(hub: HubStub, branch: str, wanted: dict[str, Any]) -> Answer:
    if branch != "main" and branch not in hub.files:
        return 404, {"error": f"Invalid rev id: {branch}"}
    files = [
        {
            "path": file["path"],
            "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
            "shouldIgnore": False,
            "oid": None,
        }
        for file in wanted["files"]
    ]
    return 200, {"files": files}


def _offer_places(hub: HubStub, wanted: dict[str, Any]) -> Answer:
    objects = [
        {
            "oid": each["oid"],
            "size": each["size"],
            "actions": {"upload": {"href": f"{hub.endpoint}/blobs/{each['oid']}"}},
        }
        for each in wanted["objects"]
    ]
    return 200, {"transfer": "basic", "objects": objects}


def _commit(hub: HubStub, repository: str, branch: str, body: bytes) -> Answer:
    files = hub.files.setdefault(branch, {})
    for line in body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "header":
            hub.messages.append(value["summary"])
        elif entry["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif entry["key"] == "lfsFile":
            files[value["path"]] = hub.blobs[value["oid"]]
    commit = f"{len(hub.messages):040x}"
    return 200, {
        "success": True,
        "commitOid": commit,
        "commitUrl": f"{hub.endpoint}/{repository}/commit/{commit}",
    }
