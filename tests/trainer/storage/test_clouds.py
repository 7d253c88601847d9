# SPDX-License-Identifier: Apache-2.0
"""Locations in each cloud are opened with the settings of the environment; no requests are sent
here.

tests/storage covers operations on an open location, with a real S3.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.storage.cloud import open_cloud_store
from finetune_trainer.storage.credentials import EXPLICIT_WAYS

KEYS = {
    "s3": {"AWS_SKIP_SIGNATURE": "true"},
    "gs": {"GOOGLE_SKIP_SIGNATURE": "true"},
    "az": {"AZURE_STORAGE_ACCOUNT_NAME": "team", "AZURE_SKIP_SIGNATURE": "true"},
}


@pytest.mark.parametrize(
    ("scheme", "kind"), [("s3", "S3Store"), ("gs", "GCSStore"), ("az", "AzureStore")]
)
def test_a_location_is_opened_in_its_own_cloud(
    scheme: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS[scheme].items():
        monkeypatch.setenv(name, value)

    store = open_cloud_store(f"{scheme}://bucket/some/folder/", KEYS[scheme])

    assert type(store.bucket).__name__ == kind
    assert store.uri == f"{scheme}://bucket/some/folder"


@pytest.fixture
def google() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Fakes of Google's metadata server and its store in one: neither is available here."""
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path.partition("?")[0], self.headers.get("Authorization", "")))
            token = b'{"access_token": "of-the-pod", "expires_in": 3600, "token_type": "Bearer"}'
            is_token = self.path.startswith("/computeMetadata")
            body = token if is_token else b"weights"
            self.send_response(200)
            self.send_header("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT")
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """The log is not needed."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_googles_workload_identity_is_used_where_its_metadata_server_is_set(
    google: tuple[str, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = google
    environment = {"GCE_METADATA_HOST": address, "GOOGLE_BASE_URL": f"http://{address}"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    store = open_cloud_store("gs://models/tiny", environment)

    assert store.read("weights") == b"weights"
    assert asked[-1] == ("/models/tiny%2Fweights", "Bearer of-the-pod")


@pytest.mark.parametrize("scheme", EXPLICIT_WAYS)
def test_a_location_without_credentials_is_reported_with_the_variables_to_set(scheme: str) -> None:
    with pytest.raises(AttemptFailed) as caught:
        open_cloud_store(f"{scheme}://bucket/folder", {})

    failure = caught.value.failure
    assert failure.reason == "CredentialsMissing"
    for variable in EXPLICIT_WAYS[scheme][0]:
        assert variable in failure.remedy
