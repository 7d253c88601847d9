# SPDX-License-Identifier: Apache-2.0
"""The stop request: set by a signal, read by all long operations."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

from finetune_trainer.failures.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)

POLL_SECONDS = 0.2
"""How often work that cannot be notified of a stop checks for one."""


class StopRequest:
    """Set once, by the first signal; more signals change nothing."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._since: float | None = None

    def listen(self) -> None:
        """Turns SIGTERM and SIGINT into a request. As PID 1 they would have no effect otherwise."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def request(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
        self._event.set()

    @property
    def is_requested(self) -> bool:
        return self._event.is_set()

    @property
    def age_seconds(self) -> float:
        """Seconds since the first request; 0 without one."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def check(self) -> None:
        """
        Raises:
            Interrupted: a stop has been requested.
        """
        if self.is_requested:
            raise Interrupted

    def wait(self, seconds: float) -> bool:
        """Sleeps, but not beyond a request; returns whether there is one."""
        return self._event.wait(seconds)

    def after(self, seconds: float) -> "StopRequest":
        """The same request with a delay, for work that may be nearly done."""
        return _HeardLater(self, seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.request()


class _HeardLater(StopRequest):
    """A request that takes effect after a delay."""

    def __init__(self, stop: StopRequest, seconds: float) -> None:
        super().__init__()
        self._stop = stop
        self._seconds = seconds

    def request(self) -> None:
        self._stop.request()

    @property
    def is_requested(self) -> bool:
        return self._stop.is_requested and self._stop.age_seconds >= self._seconds

    @property
    def age_seconds(self) -> float:
        return self._stop.age_seconds

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.is_requested and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self.is_requested


def end_process(exit_code: int) -> NoReturn:
    """Ends the process immediately. The interpreter's own exit would wait for abandoned work: a
    transfer that was abandoned at a stop, or a process group whose peer hangs.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
