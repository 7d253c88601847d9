# SPDX-License-Identifier: Apache-2.0
"""Reports the state of an attempt: every few seconds, and at the beginning of each phase."""

import logging
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path

from finetune_contract import mounts
from finetune_contract.answers import Answer
from finetune_contract.documents import InvalidDocument
from finetune_contract.progress import GpuMemory, Progress, TrainerPhase, Unsaved
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.progress.progress_line import render_progress

log = logging.getLogger(__name__)

ENV_CA_CERTIFICATE = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
POST_TIMEOUT_SECONDS = 5
POST_INTERVAL_SECONDS = 5.0
LOG_INTERVAL_SECONDS = 60.0

Sink = Callable[[Progress], None]


class Reporter:
    """Passes the newest progress to the sink in a thread of its own; the sink may be slow."""

    def __init__(
        self, workspace: Workspace, sink: Sink, interval_seconds: float, *, attempt: int
    ) -> None:
        self._workspace = workspace
        self._sink = sink
        self._interval_seconds = interval_seconds
        self._base = Progress(phase=TrainerPhase.FETCHING, attempt=attempt)
        self._unsaved: Unsaved | None = None
        self._unsaved_since = 0.0
        self._phases: list[tuple[TrainerPhase, float]] = []
        self._due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def enter(self, phase: TrainerPhase) -> None:
        log.info("phase %s", phase.value)
        self._phases.append((phase, time.monotonic()))
        self._base = replace(self._base, phase=phase, doing=None)
        self._due.set()

    def note_doing(self, words: str | None) -> None:
        """A slow operation that is running, with its progress; included in the next report."""
        self._base = replace(self._base, doing=words)

    def phase_seconds(self) -> dict[str, float]:
        """The duration of each phase, the last one until now."""
        ends = [began for _, began in self._phases[1:]] + [time.monotonic()]
        return {
            phase.value: end - began for (phase, began), end in zip(self._phases, ends, strict=True)
        }

    def note_resumed(self, step: int) -> None:
        self._base = replace(self._base, resumed_from_step=step, checkpoint_step=step or None)

    def note_checkpoint(self, step: int) -> None:
        self._base = replace(self._base, checkpoint_step=step)
        if self._unsaved is not None and step >= self._unsaved.step:
            self._unsaved = None
        self._due.set()

    def note_unsaved(self, step: int, message: str) -> None:
        """The checkpoint of this step could not be uploaded; the message must not contain
        secrets.
        """
        if self._unsaved is None:
            self._unsaved_since = time.monotonic()
        self._unsaved = Unsaved(step=step, seconds=0, message=message)
        self._due.set()

    def note_memory(self, estimated_bytes: int) -> None:
        self._base = replace(self._base, memory=GpuMemory(estimated_bytes=estimated_bytes))
        self._due.set()

    def note_micro_batch(self, rows: int) -> None:
        self._base = replace(self._base, micro_batch=rows)
        self._due.set()

    def note_answers(self, answers: tuple[Answer, ...]) -> None:
        self._base = replace(self._base, answers=answers)

    def close(self) -> None:
        """Reports once more, then ends."""
        self._closing = True
        self._due.set()
        self._thread.join(2 * POST_TIMEOUT_SECONDS)

    def current(self) -> Progress:
        """The state of the attempt: rank 0's own report with the supervisor's information."""
        base = replace(self._base, unsaved=self._unsaved_for_now())
        try:
            told = Progress.from_body(self._workspace.progress.read_bytes())
        except (FileNotFoundError, InvalidDocument):
            return base
        is_verifying = base.phase is TrainerPhase.TRAINING and told.phase is TrainerPhase.VERIFYING
        return replace(
            told,
            phase=TrainerPhase.VERIFYING if is_verifying else base.phase,
            attempt=base.attempt,
            resumed_from_step=base.resumed_from_step,
            checkpoint_step=base.checkpoint_step,
            unsaved=base.unsaved,
            micro_batch=base.micro_batch,
            memory=replace(told.memory, estimated_bytes=base.memory.estimated_bytes),
            answers=base.answers,
            doing=base.doing or told.doing,
        )

    def _unsaved_for_now(self) -> Unsaved | None:
        unsaved = self._unsaved
        if unsaved is None:
            return None
        return replace(unsaved, seconds=int(time.monotonic() - self._unsaved_since))

    def _run(self) -> None:
        while True:
            self._due.wait(self._interval_seconds)
            self._due.clear()
            self._sink(self.current())
            if self._closing:
                return


class ProgressLog:
    """A log line at intervals; the operator gets more detailed reports, more often."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told_at = float("-inf")
        self._told_step = 0
        self._told_doing: str | None = None

    def send(self, progress: Progress) -> None:
        self._tell_doing(progress.doing)
        if not progress.step or not progress.total_steps or progress.step == self._told_step:
            return
        is_last = progress.step >= progress.total_steps
        if is_last or self._now() - self._told_at >= LOG_INTERVAL_SECONDS:
            log.info("progress %s", render_progress(progress))
            self._told_at, self._told_step = self._now(), progress.step

    def _tell_doing(self, doing: str | None) -> None:
        if doing is None or doing == self._told_doing:
            return
        if self._now() - self._told_at >= LOG_INTERVAL_SECONDS or self._told_doing is None:
            log.info("progress %s", doing)
            self._told_at, self._told_doing = self._now(), doing


def both(first: Sink, second: Sink) -> Sink:
    """A sink that passes reports to two sinks."""

    def send(progress: Progress) -> None:
        first(progress)
        second(progress)

    return send


def silent(progress: Progress) -> None:
    """The sink without a receiver."""
    del progress


def sink_from_environment(environment: Mapping[str, str]) -> Sink:
    """Posts to the operator if the environment names its endpoint."""
    url = environment.get(mounts.ENV_PROGRESS_URL)
    token_file = environment.get(mounts.ENV_PROGRESS_TOKEN)
    if not url:
        return silent
    context = None
    if ca_certificate := environment.get(ENV_CA_CERTIFICATE):
        context = ssl.create_default_context(cafile=ca_certificate)
    return ProgressPost(url, Path(token_file) if token_file else None, context).send


@dataclass(slots=True)
class ProgressPost:
    """Posts progress to the operator. A failure is logged once and never ends an attempt."""

    url: str
    token_file: Path | None
    context: ssl.SSLContext | None
    _has_complained: bool = field(default=False, init=False)

    def send(self, progress: Progress) -> None:
        try:
            request = urllib.request.Request(  # noqa: S310 - the operator's own URL
                self.url, progress.to_body(), self._headers(), method="POST"
            )
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=POST_TIMEOUT_SECONDS, context=self.context
            ):
                pass
        except (OSError, ValueError, HTTPException) as error:
            if not self._has_complained:
                log.warning("progress not delivered url=%s error=%s", self.url, error)
            self._has_complained = True
        else:
            self._has_complained = False

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.token_file is not None:
            # Read each time: the kubelet renews it.
            headers["Authorization"] = f"Bearer {self.token_file.read_text().strip()}"
        return headers
