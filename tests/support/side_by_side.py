# SPDX-License-Identifier: Apache-2.0
"""Runs targets of the Makefile side by side: their tests mostly wait.

python tests/support/side_by_side.py test-cluster test-control-plane

Each line of output begins with its target. The exit code is 1 if a target has failed.
"""

import os
import subprocess
import sys
import threading
import time


class Part:
    """A target that runs, and whose output is passed on line by line."""

    def __init__(self, target: str, width: int) -> None:
        self.target = target
        self._width = width
        self._begin = time.monotonic()
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

    def _say(self, line: str) -> None:
        # One write for each line, so that no line is torn.
        sys.stdout.write(f"{self.target:{self._width}} | {line}\n")
        sys.stdout.flush()

    def wait(self) -> bool:
        """Whether it has succeeded, when it has ended."""
        code = self._process.wait()
        self._reader.join()
        minutes, seconds = divmod(round(time.monotonic() - self._begin), 60)
        self._say(f"{'failed' if code else 'passed'} after {minutes} min {seconds} s")
        return code == 0


def main(targets: list[str]) -> int:
    width = max(map(len, targets))
    parts = [Part(target, width) for target in targets]
    failed = [part.target for part in parts if not part.wait()]
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
