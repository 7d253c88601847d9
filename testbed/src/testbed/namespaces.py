# SPDX-License-Identifier: Apache-2.0
"""A cluster's processes: enter its namespaces, list processes, kill one.

nsenter enters them, not `ip netns exec`, which remounts /sys, so that the kubelet finds no cgroups.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.requirements import SYSTEM_PATH

_PROC = Path("/proc")
_PATIENCE_SECONDS = 5.0
_START_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The network, mounts and process ids of one cluster."""

    pid: int
    """The process on the host that created them, and with which they end."""

    @property
    def network(self) -> Path:
        return _PROC / str(self.pid) / "ns/net"

    def entering(self, *command: str | Path) -> list[str]:
        """The command, changed so that it runs inside."""
        ns = _PROC / str(self.pid) / "ns"
        return [
            "nsenter",
            f"--net={ns / 'net'}",
            f"--mount={ns / 'mnt'}",
            f"--pid={ns / 'pid_for_children'}",
            "--",
            *(str(word) for word in command),
        ]

    def start(
        self, command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        """Starts a command that continues inside, even after this process ends."""
        with log.open("ab") as output:
            subprocess.run(
                self.entering("setsid", "--fork", *command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": SYSTEM_PATH, **environment},
                check=True,
            )
        # `setsid` has forked, but may not have executed the program yet.
        deadline = time.monotonic() + _START_SECONDS
        while str(command[0]) not in self.processes() and time.monotonic() < deadline:
            time.sleep(0.01)

    def run(self, *command: str | Path, stdin: str | None = None) -> str:
        """Runs a command inside to its end and returns its output.

        Raises:
            RuntimeError: it failed; the message contains its output.
        """
        done = subprocess.run(self.entering(*command), input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def processes(self) -> dict[str, list[int]]:
        """The ids, as seen from the host, of the processes inside, by program."""
        ours = _namespace(self.pid, "pid_for_children")
        found: dict[str, list[int]] = {}
        for entry in _PROC.iterdir():
            if not entry.name.isdigit() or _namespace(int(entry.name), "pid") != ours:
                continue
            with suppress(OSError):
                program = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                found.setdefault(program, []).append(int(entry.name))
        return found

    def kill(self, program: Path, signal_number: int = signal.SIGTERM) -> None:
        """Sends a signal to a program inside and waits until it has ended.

        A program that ignores it is killed.
        """
        for pid in self.processes().get(str(program), []):
            process = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(process, signal_number)
                has_ended, _, _ = select.select([process], [], [], _PATIENCE_SECONDS)
                if not has_ended:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    select.select([process], [], [])
            finally:
                os.close(process)


def _namespace(pid: int, kind: str) -> str | None:
    try:
        return str((_PROC / str(pid) / "ns" / kind).readlink())
    except OSError:
        return None
