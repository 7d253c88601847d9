# SPDX-License-Identifier: Apache-2.0
"""The wish to stop: set by a signal, read by everything that takes long."""

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
"""How often work that cannot be told of a stop looks for one."""


class StopRequest:
    """Set once, by the first signal; more signals change nothing."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._since: float | None = None

    def listen(self) -> None:
        """Turn SIGTERM and SIGINT into a request. As PID 1 they would do nothing otherwise."""
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
        """Sleep, but not beyond a request; whether there is one."""
        return self._event.wait(seconds)

    def after(self, seconds: float) -> "StopRequest":
        """The same wish as work hears it that may be nearly done: once it is that old."""
        return _HeardLater(self, seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.request()


class _HeardLater(StopRequest):
    """A request that is not heeded at first."""

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
    """End here and now. The interpreter's own exit would wait for what was given up: a transfer
    that a stop did not wait for, or a process group whose peer hangs."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
