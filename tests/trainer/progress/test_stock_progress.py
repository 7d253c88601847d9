# SPDX-License-Identifier: Apache-2.0
"""The trainer's reports have the format of transformers' own KubeflowCallback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_contract import mounts
from finetune_contract.progress import Progress
from finetune_trainer.progress.reporting import sink_from_environment

pytestmark = pytest.mark.slow  # importing transformers


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """Every report that the operator receives, with its headers."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append({"headers": dict(self.headers), "body": json.loads(body), "raw": body})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    (tmp_path / "token").write_text("a-token")
    url = f"http://127.0.0.1:{server.server_port}/progress"
    monkeypatch.setenv(mounts.ENV_PROGRESS_URL, url)
    monkeypatch.setenv(mounts.ENV_PROGRESS_TOKEN, str(tmp_path / "token"))
    yield heard
    server.shutdown()
    server.server_close()


def shape_of(value: Any) -> Any:
    """Types instead of values; for a list, its first item's."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])]
    return type(value)


def test_our_body_has_the_shape_of_the_stock_one(
    posted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from transformers.integrations.integration_utils import KubeflowCallback

    monkeypatch.setattr(KubeflowCallback, "_MIN_UPDATE_INTERVAL", 0.0)
    state: Any = SimpleNamespace(is_world_process_zero=True, max_steps=10, global_step=5, epoch=1.5)
    stock = KubeflowCallback()
    stock.on_train_begin(None, state, None)
    stock.on_log(None, state, None, logs={"loss": 0.5, "learning_rate": 1e-4})
    stock.on_step_end(None, state, None)
    theirs = posted[-1]

    ours = Progress(step=5, total_steps=10, loss=0.5, learning_rate=1e-4, eta_seconds=3)
    sink_from_environment(os.environ)(ours)
    mine = posted[-1]

    assert mine["headers"]["Authorization"] == theirs["headers"]["Authorization"]
    assert mine["headers"]["Content-Type"] == theirs["headers"]["Content-Type"]
    expected = shape_of(theirs["body"]["trainerStatus"])
    found = shape_of(mine["body"]["trainerStatus"])
    # The operator itself records the time of receipt.
    del expected["lastUpdatedTime"]
    assert found == expected
    assert mine["body"]["trainerStatus"]["progressPercentage"] == 50


def test_the_operator_reads_the_stock_body(
    posted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations.integration_utils import KubeflowCallback

    monkeypatch.setattr(KubeflowCallback, "_MIN_UPDATE_INTERVAL", 0.0)
    state: Any = SimpleNamespace(is_world_process_zero=True, max_steps=10, global_step=5, epoch=1.5)
    stock = KubeflowCallback()
    stock.on_train_begin(None, state, None)
    stock.on_log(None, state, None, logs={"loss": 0.5, "learning_rate": 1e-4, "epoch": 1.5})
    stock.on_step_end(None, state, None)

    read = Progress.from_body(posted[-1]["raw"])

    assert (read.loss, read.learning_rate, read.epoch) == (0.5, 1e-4, 1.5)
    assert read.eta_seconds is not None
    assert json.loads(posted[0]["raw"])["trainerStatus"]["metrics"][0]["name"] == "total_steps"
