# SPDX-License-Identifier: Apache-2.0
"""Fetches a model of the hub and reports its progress; the caller waits, or stops it."""

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_contract.codec import read_object
from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_spec.quantities import render_bytes
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.failures.stopping import POLL_SECONDS, StopRequest

log = logging.getLogger(__name__)

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})

_QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

Tell = Callable[[str], None]
"""Receives the current activity, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """The requested model."""

    name: str
    revision: str = "main"
    with_weights: bool = True
    """False if only its tokenizer and chat template are needed."""


def is_offline(environment: Mapping[str, str]) -> bool:
    """Whether no request may be sent to the hub: then the cache has everything, or nothing has."""
    return any(environment.get(name, "").upper() in _TRUE for name in OFFLINE_VARIABLES)


def fetch_from_hub(
    model: HubModel,
    environment: Mapping[str, str],
    stop: StopRequest,
    tell: Tell,
    log_file: Path | None = None,
) -> Path | None:
    """The directory of the model in the hub's cache; None if the hub must not be used, so that
    transformers reads the cache itself. The log of the download goes into the file, or into our own
    log.

    Raises:
        AttemptFailed: it cannot be fetched.
        Interrupted: a stop was requested.
    """
    if is_offline(environment):
        return None
    log.info("fetching model=%s revision=%s from the hub", model.name, model.revision)
    arguments = (model.name, model.revision, "with-weights" if model.with_weights else "")
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", "finetune_trainer.inputs.hub.process", *arguments],
            env={**environment, **_QUIET},
            stdout=subprocess.PIPE,
            stderr=None if log_file is None else stack.enter_context(log_file.open("ab")),
            start_new_session=True,  # Ctrl-C in a terminal must reach only the supervisor.
        )
    hearer = _Hearer(process, model.name, tell)
    try:
        while not hearer.has_ended.wait(POLL_SECONDS):
            stop.check()
    finally:
        process.kill()
        process.wait()
    return _folder_in(hearer.last, model.name)


class _Hearer:
    """Reads the messages of the process in a thread: a line may take long."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str, tell: Tell) -> None:
        self.has_ended = threading.Event()
        self.last: dict[str, Any] = {}
        self._process, self._name, self._tell = process, name, tell
        threading.Thread(target=self._listen, name="hub", daemon=True).start()

    def _listen(self) -> None:
        try:
            for line in self._process.stdout or ():
                self._hear(line)
        finally:
            self.has_ended.set()

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return  # Output of a library.
        if not isinstance(message, dict):
            return
        self.last = message
        done, total = message.get("done"), message.get("total")
        if isinstance(done, int) and isinstance(total, int) and total:
            how_far = f"{render_bytes(done)} of {render_bytes(total)}"
            self._tell(f"downloading {self._name}: {how_far}")


def _folder_in(message: Mapping[str, Any], name: str) -> Path | None:
    """
    Raises:
        AttemptFailed: the message is a failure, or not a final one.
    """
    if "folder" in message:
        return None if message["folder"] is None else Path(message["folder"])
    try:
        failure = read_object(Failure, message["failure"])
    except (InvalidDocument, KeyError):
        raise attempt_failed(
            Reason.HUB_UNREACHABLE,
            f"the process that downloaded {name} ended without output",
            "check its last output in the trainer's log; it may have run out of memory",
        ) from None
    raise AttemptFailed(failure)
