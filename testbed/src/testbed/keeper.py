# SPDX-License-Identifier: Apache-2.0
"""The process on the host that a cluster's lifetime is tied to.

    python -m testbed.keeper NAME [OWNER]

It creates the namespaces, prints the id of the process that holds them, waits, and removes the
rest: after SIGTERM, after the cluster's first process has ended, or, if there is an owner, after
the process OWNER has ended. If the keeper itself is killed, the kernel kills the cluster with it,
and the next `up` or `down` removes the directory.
"""

import os
import select
import signal
import subprocess
import sys

from testbed import cgroups, daemon
from testbed.folder import Folder
from testbed.namespaces import Namespaces
from testbed.requirements import environment


def keep(folder: Folder, owner: int | None) -> Namespaces:
    """Starts the keeper of a cluster whose directory was created."""
    arguments = [folder.name] if owner is None else [folder.name, str(owner)]
    return Namespaces(int(daemon.start("testbed.keeper", *arguments, log=folder.log("keeper"))))


def main(folder: Folder, owner: int | None) -> None:
    """Keeps the cluster."""

    def serve(announce: daemon.Announce) -> None:
        with folder.kept():
            ends = [_end_of_signal()]
            if owner is not None:
                ends.append(os.pidfd_open(owner))
            cgroups.create(folder.cgroup)
            with _namespaces(folder) as holder:
                announce(str(holder.pid))
                select.select([*ends, os.pidfd_open(holder.pid)], [], [])
                holder.kill()
            folder.remove()

    daemon.serve(serve)


def _end_of_signal() -> int:
    """A file that becomes readable when we must end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return reader


def _namespaces(folder: Folder) -> subprocess.Popen[str]:
    """Starts the cluster's first process; if one process of the chain dies, the others end too."""
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig=KILL"),
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *(sys.executable, "-m", "testbed.node", str(folder.path)),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if not process.stdout.readline():
        raise SystemExit("The cluster's first process ended immediately.")
    return process


if __name__ == "__main__":
    main(Folder(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
