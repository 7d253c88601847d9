# SPDX-License-Identifier: Apache-2.0
"""A stock HF Trainer, without our code, posts over a socket to the operator's own endpoint."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.job.attempts import render_attempts
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.objects.names import FINETUNE_JOBS
from finetune_operator.progress.authentication import TokenChecker
from finetune_operator.progress.server import PROGRESS_PATH, ProgressServer, build_app
from finetune_operator.progress.writer import ProgressWriter
from support.factories import a_job_body, a_pod, a_training_job, an_attempt
from support.fake_api import FakeApi

pytestmark = pytest.mark.slow  # importing transformers

STEPS = 4


def review(request: Any) -> Any:
    """The API server's response: this token belongs to the job's pod."""
    spec = request["spec"]
    extra = {
        "authentication.kubernetes.io/pod-name": ["balloon-1-abcde"],
        "authentication.kubernetes.io/pod-uid": ["uid-of-balloon-1-abcde"],
    }
    user = {"username": "system:serviceaccount:team:default", "extra": extra}
    is_known = spec["token"] == "a-token"
    return {"status": {"authenticated": is_known, "audiences": spec["audiences"], "user": user}}


class Operator:
    """The progress endpoint of a replica, in a separate thread."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.api.review = review
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ends = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._listens.wait()

    async def _run(self) -> None:
        cache = ObjectCache()
        status = {"attempts": render_attempts([an_attempt()])}
        cache.remember(Kind.JOB, self.api.put(FINETUNE_JOBS, a_job_body(status=status)))
        cache.remember(Kind.TRAINING_JOB, a_training_job())
        cache.remember(Kind.POD, a_pod())
        writer = ProgressWriter(self.api, cache, timedelta(seconds=10), lambda: datetime.now(UTC))
        checker = TokenChecker(self.api, self._loop.time)
        server = ProgressServer(cache, checker, writer)
        runner = web.AppRunner(build_app(server, is_healthy=bool, is_ready=bool))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        path = PROGRESS_PATH.format(namespace="team", name="balloon")
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        writing = asyncio.create_task(writer.run())
        self._listens.set()
        await self._ends.wait()
        await writer.flush()
        writing.cancel()
        await runner.cleanup()

    def end(self) -> None:
        """Like a replica: pending reports are written first."""
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join()
        self._loop.close()

    def progress(self) -> Any:
        return self.api.objects[FINETUNE_JOBS, "team", "balloon"]["status"].get("progress")


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Operator]:
    listening = Operator()
    (tmp_path / "token").write_text("a-token")
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", listening.url)
    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_TOKEN", str(tmp_path / "token"))
    monkeypatch.delenv("DISABLE_KUBEFLOW_INTEGRATION", raising=False)
    yield listening
    if listening._thread.is_alive():
        listening.end()


@pytest.mark.parametrize(
    "interval",
    [
        pytest.param(0.0, id="a report of every step"),
        pytest.param(3600.0, id="of its beginning and its end alone"),
    ],
)
def test_the_progress_of_a_stock_trainer_is_shown_in_the_status(
    operator: Operator,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interval: float,
) -> None:
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
    from transformers.integrations.integration_utils import KubeflowCallback

    monkeypatch.setattr(KubeflowCallback, "_MIN_UPDATE_INTERVAL", interval)
    words = [11, 12, 13, 14]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=STEPS,
        per_device_train_batch_size=1,
        logging_steps=1,
        save_strategy="no",
        report_to=["kubeflow"],
        use_cpu=True,
        disable_tqdm=True,
    )
    examples: Any = [{"input_ids": words, "labels": words}] * STEPS
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        args=arguments,
        train_dataset=examples,
    )
    trainer.train()
    operator.end()

    progress = operator.progress()
    assert (progress["step"], progress["totalSteps"]) == (STEPS, STEPS)
    assert progress["percent"] == 100
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert progress["loss"] == pytest.approx(logged[-1], rel=1e-4)
