# SPDX-License-Identifier: Apache-2.0
"""Progress reaches all receivers, and a receiver that fails harms nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from finetune_contract import mounts
from finetune_contract.answers import Answer
from finetune_contract.progress import Progress, TrainerPhase
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.progress.reporting import Reporter, silent, sink_from_environment

BLUE = Answer(prompt="Name a colour.", before=None, after="Blue.")


class Listener:
    """An operator that only receives."""

    def __init__(self, status: int = 200) -> None:
        self.heard: list[tuple[str, Progress]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.heard.append((self.headers["Authorization"], Progress.from_body(body)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/progress"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def environment(url: str, token: Path) -> dict[str, str]:
    return {mounts.ENV_PROGRESS_URL: url, mounts.ENV_PROGRESS_TOKEN: str(token)}


def test_the_token_is_read_again_for_every_report(listener: Listener, tmp_path: Path) -> None:
    token = tmp_path / "token"
    send = sink_from_environment(environment(listener.url, token))

    token.write_text("first\n")
    send(Progress(step=1))
    token.write_text("renewed\n")
    send(Progress(step=2))

    assert [(words, progress.step) for words, progress in listener.heard] == [
        ("Bearer first", 1),
        ("Bearer renewed", 2),
    ]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refused_report_is_logged_once_and_does_no_harm(
    status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(status)
    (tmp_path / "token").write_text("t")
    send = sink_from_environment(environment(listener.url, tmp_path / "token"))

    for step in range(3):
        send(Progress(step=step))

    listener.close()
    assert len(listener.heard) == 3
    assert caplog.text.count("progress not delivered") == 1


def test_without_a_url_nothing_is_sent() -> None:
    assert sink_from_environment({}) is silent


def a_reporter(tmp_path: Path, heard: list[Progress]) -> Reporter:
    return Reporter(Workspace(root=tmp_path), heard.append, 60, attempt=2)


def test_a_phase_is_reported_when_it_starts(tmp_path: Path) -> None:
    heard: list[Progress] = []
    reporter = a_reporter(tmp_path, heard)
    reporter.start()

    reporter.enter(TrainerPhase.PUBLISHING)
    reporter.close()

    assert heard[-1].phase is TrainerPhase.PUBLISHING
    assert heard[-1].attempt == 2


def test_progress_of_rank_zero_is_completed_with_the_supervisors_facts(
    tmp_path: Path,
) -> None:
    reporter = a_reporter(tmp_path, [])
    reporter.enter(TrainerPhase.TRAINING)
    reporter.note_resumed(4)
    reporter.note_checkpoint(6)
    reporter.note_answers((BLUE,))
    told = Progress(phase=TrainerPhase.TRAINING, step=7, total_steps=9, loss=0.5)
    write_atomically(Workspace(root=tmp_path).progress, told.to_body())

    progress = reporter.current()

    assert (progress.step, progress.loss, progress.attempt) == (7, 0.5, 2)
    assert (progress.resumed_from_step, progress.checkpoint_step) == (4, 6)
    assert progress.answers == (BLUE,)


def test_the_verifying_phase_is_reported_by_rank_zero(tmp_path: Path) -> None:
    reporter = a_reporter(tmp_path, [])
    reporter.enter(TrainerPhase.TRAINING)
    told = Progress(phase=TrainerPhase.VERIFYING, step=9)
    write_atomically(Workspace(root=tmp_path).progress, told.to_body())

    assert reporter.current().phase is TrainerPhase.VERIFYING
