# SPDX-License-Identifier: Apache-2.0
"""A data file is fetched from a web server; no message shows the secrets of its URL."""

import base64
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.fetching import fetch
from trainer import in_process

BODY = b'{"text": "At 7."}\n'
LOGIN = "Basic " + base64.b64encode(b"me:pass/word").decode()


@dataclass
class Server:
    """Responds to each request according to the first part of its path."""

    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and login of every request."""
    on_request: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)


class Impatient(StopRequest):
    """Does not wait between tries, to keep the test fast."""

    def wait(self, seconds: float) -> bool:
        return super().wait(0)


FAILING = {"busy": 503, "private": 403, "missing": 404}


class Handler(http.server.BaseHTTPRequestHandler):
    told: Server

    def do_GET(self) -> None:
        self.told.asked.append((self.path, self.headers.get("Authorization")))
        self.told.on_request.set()
        kind, is_first = self.path.split("/")[1], len(self.told.asked) == 1
        if kind in FAILING or (kind == "flaky" and is_first):
            self.send_error(FAILING.get(kind, 503))
        elif kind == "cut" and is_first:
            self.send(BODY[:5], length=len(BODY))
        elif kind == "page":
            self.send(b"<html>", kind="text/html; charset=utf-8")
        elif kind == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "/there/other.jsonl")
            self.end_headers()
        else:
            if kind == "slow":
                self.told.answers.wait(60)
            self.send(BODY)

    def send(self, body: bytes, *, length: int | None = None, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """No log: it would mix with the test's output."""


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()
    handler = type("Telling", (Handler,), {"told": told})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        told.url = f"http://127.0.0.1:{http_server.server_port}"
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        yield told
        told.answers.set()
        http_server.shutdown()
        thread.join()


def fetch_data(url: str, place: Path, stop: StopRequest | None = None) -> Path | None:
    return fetch("dataset_name", url, place / "inputs", {}, stop or Impatient())


def test_a_file_is_downloaded_under_its_own_name(server: Server, tmp_path: Path) -> None:
    found = fetch_data(f"{server.url}/data/train%201.jsonl?signature=secret", tmp_path)

    assert found == tmp_path / "inputs" / "train 1.jsonl"
    assert found.read_bytes() == BODY
    assert server.asked == [("/data/train%201.jsonl?signature=secret", None)]


@pytest.mark.parametrize("kind", ["flaky", "cut"], ids=["answers 503 once", "breaks off once"])
def test_a_temporary_failure_is_retried(kind: str, server: Server, tmp_path: Path) -> None:
    found = fetch_data(f"{server.url}/{kind}/train.jsonl", tmp_path)

    assert found is not None
    assert found.read_bytes() == BODY
    assert len(server.asked) == 2


def test_credentials_in_an_address_are_sent_to_that_server_only(
    server: Server, tmp_path: Path
) -> None:
    url = server.url.replace("//", "//me:pass%2Fword@") + "/elsewhere/train.jsonl"

    fetch_data(url, tmp_path)

    assert server.asked == [("/elsewhere/train.jsonl", LOGIN), ("/there/other.jsonl", None)]


@pytest.mark.parametrize(
    ("path", "category", "reason", "words"),
    [
        pytest.param("missing", Category.USER, "DatasetNotFound", "answered 404", id="404"),
        pytest.param("private", Category.USER, "DatasetAccessDenied", "answered 403", id="403"),
        pytest.param("page", Category.USER, "DatasetNotFound", "is a web page", id="a web page"),
        pytest.param(
            "busy", Category.INFRASTRUCTURE, "DataServerUnreachable", "answered 503", id="503"
        ),
    ],
)
def test_a_refusal_names_the_address_without_its_secrets(
    path: str, category: Category, reason: str, words: str, server: Server, tmp_path: Path
) -> None:
    address = f"{server.url}/{path}/train.jsonl"
    url = address.replace("//", "//me:password@") + "?signature=secret"

    with pytest.raises(AttemptFailed) as caught:
        fetch_data(url, tmp_path)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (category, reason)
    assert address in failure.message
    assert words in failure.message
    assert "secret" not in f"{failure}"
    assert "password" not in f"{failure}"
    assert len(server.asked) == (3 if category is Category.INFRASTRUCTURE else 1)


def test_an_unreachable_server_is_an_infrastructure_error(tmp_path: Path) -> None:
    with pytest.raises(AttemptFailed) as caught:
        fetch_data("http://127.0.0.1:1/train.jsonl", tmp_path)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "DataServerUnreachable")
    assert "Connection refused" in failure.message


def test_a_stop_is_handled_while_a_server_does_not_respond(server: Server, tmp_path: Path) -> None:
    stop = StopRequest()
    stopper = threading.Thread(target=lambda: server.on_request.wait(60) and stop.request())
    stopper.start()

    with pytest.raises(Interrupted):
        fetch_data(f"{server.url}/slow/train.jsonl", tmp_path, stop)

    stopper.join()
    assert not server.answers.is_set()
    assert not (tmp_path / "inputs" / "train.jsonl").exists()


@pytest.mark.slow  # trains
def test_data_files_from_the_web_are_trained_on_and_published_without_secrets(
    server: Server, tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # One is recognized by its name, the other only by its place.
    secrets = ("4f2a9c0e7b1d4f2a9c0e", "0123456789abcdefghij")
    addresses = [
        f"{server.url}/rows/{name}.jsonl?{name}={secret}"
        for name, secret in zip(("signature", "key"), secrets, strict=True)
    ]
    part = {"path": "json", "data_files": {"train": addresses}}

    trained = in_process.train(
        tmp_path, tiny_model, "", dataset_name=None, datasets=[part], packing=False
    )

    assert trained.outcome.failure is None
    assert [server.url + path for path, _ in server.asked] == addresses
    texts = [file.read_bytes().decode(errors="replace") for file in _files(trained.published)]
    assert any(f"{server.url}/rows/key.jsonl" in text for text in texts)
    told = "".join([*texts, trained.outcome.to_json(), *capfd.readouterr()])
    assert not [secret for secret in secrets if secret in told]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
