# SPDX-License-Identifier: Apache-2.0
"""A process that outlives the command that started it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Announce = Callable[[str], None]


def start(module: str, *arguments: str, log: Path) -> str:
    """Starts `python -m module` in the background; returns its announcement once it is ready."""
    with log.open("a") as errors:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"{module} did not start: {log.read_text().strip()}")
    return done.stdout.strip()


def serve(main: Callable[[Announce], None]) -> None:
    """Runs main in a process of its own session; returns when it has announced that it is ready.

    Raises:
        SystemExit: it ended without announcing anything.
    """
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as announcements:
            announced = announcements.read()
        if not announced:
            raise SystemExit(1)
        print(announced)
        return
    os.close(reader)
    os.setsid()
    # The process that started us reads stdout to its end.
    os.dup2(os.open(os.devnull, os.O_RDWR), sys.stdout.fileno())

    def announce(answer: str) -> None:
        with os.fdopen(writer, "w") as announcements:
            announcements.write(answer)

    main(announce)
    os._exit(0)
