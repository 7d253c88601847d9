# SPDX-License-Identifier: Apache-2.0
"""A stub of an object store on 127.0.0.1: it sends the same response to every request.

Amazon's, Google's and Azure's own stores cannot be reached from here. The responses are those of
their documentation; the client that reads them is the trainer's own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from finetune_trainer.storage.cloud import CloudStore, open_cloud_store


@dataclass
class StoreStub:
    """The stub's response, and the requests."""

    port: int = 0
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refuse(self, status: int, body: str = "", **headers: str) -> None:
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def accept(self) -> None:
        self.status, self.body = 200, ""
        self.headers = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 12:00:00 GMT"}

    def environment(self, scheme: str) -> dict[str, str]:
        """Variables that point a client of this cloud to this stub."""
        return {
            "s3": {
                "AWS_ENDPOINT_URL": self.address,
                "AWS_ACCESS_KEY_ID": "research",
                "AWS_SECRET_ACCESS_KEY": "long-secret",
                "AWS_REGION": "us-east-1",
            },
            # Without a signature Google's client cannot write; it only reads.
            "gs": {"GOOGLE_BASE_URL": self.address, "GOOGLE_SKIP_SIGNATURE": "true"},
            "az": {
                "AZURE_STORAGE_ENDPOINT": self.address,
                "AZURE_STORAGE_ACCOUNT_NAME": "research",
                "AZURE_STORAGE_ACCOUNT_KEY": "bG9uZy1zZWNyZXQ=",
            },
        }[scheme]

    def opened(self, scheme: str, monkeypatch: pytest.MonkeyPatch, **more: str) -> CloudStore:
        """A location in this store, opened as in a pod."""
        environment = {**self.environment(scheme), **more}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return open_cloud_store(f"{scheme}://models/balloon", environment)


@contextmanager
def running_stub() -> Iterator[StoreStub]:
    stub = StoreStub()
    stub.accept()

    class Answers(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Callable[[], None]:
            """Every method, as `http.server` calls it: `do_GET`."""
            if not name.startswith("do_"):
                raise AttributeError(name)
            return self.answer

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stub.asked.append(f"{self.command} {self.path}")
            body = stub.body.encode()
            self.send_response(stub.status)
            for name, value in stub.headers.items():
                self.send_header(name, value)
            # In HTTP, a response to HEAD has no body.
            has_body = self.command != "HEAD"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if has_body:
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """The log is not needed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        stub.port = server.server_port
        yield stub
        server.shutdown()


def xml(code: str, message: str, more: str = "") -> str:
    """An error as S3, Google's XML API and Azure write it."""
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{head}<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
