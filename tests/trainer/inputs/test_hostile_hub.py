# SPDX-License-Identifier: Apache-2.0
"""A hub, or a mirror of it, decides what a model contains, and nothing else: it writes no file
outside of its model's directory in the cache.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from huggingface_hub.file_download import HfFileMetadata

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.hub.fetching import HubModel, fetch_from_hub
from finetune_trainer.inputs.hub.untrusted import checked, require_plain

COMMIT = "0123456789abcdef0123456789abcdef01234567"

HOSTILE = (
    "../../../../planted",
    "/tmp/planted",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "a\0b",
    "a\n",
    "-rf",
    ".hidden",
    "a" * 201,
    "\u0661",
    None,
    7,
)


@pytest.mark.parametrize("value", HOSTILE)
def test_an_identifier_that_is_a_path_is_refused_with_the_hub_to_check(value: Any) -> None:
    with pytest.raises(AttemptFailed, match="is not an identifier") as refused:
        require_plain("a commit", value)

    failure = refused.value.failure
    assert (failure.reason, failure.category) == (Reason.HUB_REFUSED, Category.USER)
    assert "HF_ENDPOINT" in failure.remedy
    assert len(failure.message) < 200


@pytest.mark.parametrize(
    "value", [COMMIT, "f" * 64, "d41d8cd98f00b204e9800998ecf8427e-38", "main", "v1.0", "sha256:00"]
)
def test_identifiers_of_hubs_and_mirrors_are_accepted(value: str) -> None:
    assert require_plain("an ETag", value) == value


@pytest.mark.parametrize("size", [-1, 2**63, 10**400])
def test_a_size_that_no_file_has_is_refused(size: int) -> None:
    metadata = HfFileMetadata(
        commit_hash=COMMIT, etag="a", location="", size=size, xet_file_data=None
    )

    with pytest.raises(AttemptFailed, match="as the size of a file"):
        checked(metadata)


@contextmanager
def a_hub(
    files: Mapping[str, bytes], headers: Mapping[str, str], commit: str = COMMIT, missing: str = ""
) -> Iterator[str]:
    """A stub of the hub whose answers have these headers instead of its own, and which lists, but
    lacks, the file `missing`.
    """

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.startswith("/api/"):
                names = [{"rfilename": name} for name in (*files, *filter(None, [missing]))]
                told = {"id": "org/model", "sha": commit, "siblings": names}
                self.answer(200, json.dumps(told).encode(), {})
                return
            name = path.rpartition("/")[2]
            body = files.get(name, b"")
            usual = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
            lacks = {} if name in files else {"X-Error-Code": "EntryNotFound"}
            self.answer(200 if name in files else 404, body, {**usual, **lacks, **headers})

        def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "models--org--model" not in str(path) and path.suffix != ".TAG"
    }


FAULTS: Mapping[str, Mapping[str, Any]] = {
    "an ETag that leads out": {"headers": {"ETag": '"../../../../planted"'}},
    "an absolute ETag": {"headers": {"X-Linked-ETag": '"/PLACE/planted"'}},
    "a commit that leads out": {"commit": "../../../../planted"},
    "a file's commit that leads out": {"headers": {"X-Repo-Commit": "../../../../planted"}},
    "a missing file's commit that leads out": {
        "headers": {"X-Repo-Commit": "../../../../planted"},
        "missing": "tokenizer.json",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_a_hub_writes_no_file_outside_of_its_models_directory(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "pod" / "work"
    faults = dict(FAULTS[kind])
    faults["headers"] = {
        name: value.replace("/PLACE", str(tmp_path))
        for name, value in faults.get("headers", {}).items()
    }
    with a_hub({"config.json": b"{}", "a.safetensors": b"weights"}, **faults) as endpoint:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(place / "hf"),
        }
        with pytest.raises(AttemptFailed) as failed:
            fetch_from_hub(HubModel(name="org/model"), environment, StopRequest(), lambda _: None)

    assert failed.value.failure.reason == Reason.HUB_REFUSED
    assert files_below(tmp_path) == set()


ADAPTERS: Mapping[str, bytes] = {
    "two that name each other": b'{"base_model_name_or_path": "org/other"}',
    "one that names itself": b'{"base_model_name_or_path": "org/model"}',
    "one nested too deeply": b'{"base_model_name_or_path":' + b"[" * 100_000,
    "one of numbers without end": b'{"base_model_name_or_path": ' + b"1" * 100_000 + b"}",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_is_fetched_without_its_base_whatever_it_names(
    kind: str, tmp_path: Path
) -> None:
    """The stub has the same files under every name."""
    with a_hub({"adapter_config.json": ADAPTERS[kind]}, {}) as endpoint:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "hf"),
        }
        folder = fetch_from_hub(
            HubModel(name="org/model"), environment, StopRequest(), lambda _: None
        )

    assert folder is not None
    assert [file.name for file in folder.iterdir()] == ["adapter_config.json"]
