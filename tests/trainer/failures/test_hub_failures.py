# SPDX-License-Identifier: Apache-2.0
"""A hub that refuses, fails or is unreachable: real responses of a server on this machine."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from trainer.attempt.test_training import a_run, supervise

pytestmark = pytest.mark.slow  # importing transformers

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWx"


@contextmanager
def a_hub_that_answers(status: int, headers: dict[str, str] | None = None) -> Iterator[str]:
    """The URL of a hub that sends this response to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"{}")

        do_HEAD = do_POST = do_GET  # noqa: N815 - http.server requires these names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client makes its usual number of tries, without its waits of 23 s."""
    from huggingface_hub.utils import _http

    without_pauses = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr(_http, "time", without_pauses)


def load_model(endpoint: str, place: Path) -> Any:
    """The calls of transformers and TRL for a name on the hub, with this hub."""
    from huggingface_hub import hf_hub_download

    return hf_hub_download(
        "org/model", "config.json", endpoint=endpoint, token=TOKEN, cache_dir=place
    )


def load_data(endpoint: str, place: Path) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint, token=TOKEN).dataset_info("org/data")


@pytest.mark.parametrize(
    ("status", "headers", "category", "reason"),
    [
        (401, {}, Category.USER, "HubAccessDenied"),
        (403, {}, Category.USER, "HubAccessDenied"),
        (403, {"X-Error-Code": "GatedRepo"}, Category.USER, "HubAccessDenied"),
        (404, {"X-Error-Code": "RepoNotFound"}, Category.USER, "HubAccessDenied"),
        (404, {"X-Error-Code": "RevisionNotFound"}, Category.USER, "RevisionNotFound"),
        (500, {}, Category.INFRASTRUCTURE, "HubUnreachable"),
        (503, {}, Category.INFRASTRUCTURE, "HubUnreachable"),
    ],
)
@pytest.mark.parametrize("load", [load_model, load_data])
def test_each_answer_of_a_hub_has_its_category(
    load: Callable[[str, Path], Any],
    status: int,
    headers: dict[str, str],
    category: Category,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    with a_hub_that_answers(status, headers) as url, pytest.raises(Exception) as caught:  # noqa: PT011
        load(url, tmp_path)

    failure = classify(caught.value, Stage.MODEL)
    assert (failure.category, failure.reason) == (category, reason)
    assert failure.remedy
    assert TOKEN not in failure.message


def test_an_unreachable_hub_is_an_infrastructure_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the client raises
        load_model("http://127.0.0.1:1", tmp_path)

    failure = classify(caught.value, Stage.MODEL)
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "HubUnreachable")


def test_an_objection_of_the_hub_is_a_user_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    from finetune_trainer.publication.hub.client import failure_of

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    with a_hub_that_answers(400) as url, pytest.raises(Exception) as caught:  # noqa: PT011
        HfApi(endpoint=url, token=TOKEN).create_repo("org/model")

    failure = failure_of(caught.value, "org/model").failure
    assert (failure.category, failure.reason) == (Category.USER, "HubRefused")
    assert "org/model" in failure.message


def test_a_model_that_the_hub_refuses_ends_the_run_with_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialogues: Path
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    with a_hub_that_answers(401) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        run = a_run(tmp_path / "out", dialogues, model_name_or_path="org/model", max_steps=1)
        outcome = supervise(run, tmp_path)

    assert outcome.failure is not None
    assert (outcome.failure.category, outcome.failure.reason) == (Category.USER, "HubAccessDenied")
    assert "org/model" in outcome.failure.message
    assert TOKEN not in (tmp_path / "outcome.json").read_text()
