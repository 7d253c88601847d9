# SPDX-License-Identifier: Apache-2.0
"""Runs targets of the Makefile in parallel: their tests mostly wait.

python tests/support/side_by_side.py test-cluster test-control-plane

Each line of output begins with its target. The exit code is 1 if a target has failed, and the last
lines of such a target are repeated at the end, so that the end of the log shows the reason.
"""

import os
import subprocess
import sys
import threading
import time
from collections import deque

# Of a pytest run: the names of failed tests, after its twenty longest tests.
LAST_LINES = 40


class Part:
    """A running target, whose output is passed on line by line."""

    def __init__(self, target: str, width: int) -> None:
        self.target = target
        self._width = width
        self._begin = time.monotonic()
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._process = subprocess.Popen(
            [os.environ.get("MAKE", "make"), "--no-print-directory", target],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._pass_on)
        self._reader.start()

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._say(line.rstrip("\n"))
        minutes, seconds = divmod(round(time.monotonic() - self._begin), 60)
        self._say(
            f"{'failed' if self._process.wait() else 'passed'} after {minutes} min {seconds} s"
        )

    def _say(self, line: str) -> None:
        # One write for each line, so that no line is torn.
        line = f"{self.target:{self._width}} | {line}\n"
        self.last.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()

    def wait(self) -> bool:
        """Whether it has succeeded, after it has ended."""
        self._reader.join()
        return self._process.wait() == 0


def main(targets: list[str]) -> int:
    width = max(map(len, targets))
    parts = [Part(target, width) for target in targets]
    failed = [part for part in parts if not part.wait()]
    for part in failed:
        sys.stdout.writelines(part.last)
    if failed:
        print(f"Failed: {', '.join(part.target for part in failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
