# SPDX-License-Identifier: Apache-2.0
"""Ranks that start immediately: forked from a process that has already imported torch.

For tests that start many attempts. Everything is as in a pod except the import, which takes a
quarter of a minute: a supervisor in a separate process starts its rank as usual, but its
"interpreter" is `stub`, which makes the server fork the rank. Stub and rank end together: the rank
is killed when the stub's connection is closed, for whatever reason.

python -m trainer.warm_ranks serve SOCKET          the process that has imported torch
python -m trainer.warm_ranks supervise [options]   a supervisor whose ranks are warm
python -m trainer.warm_ranks stub ARGUMENTS        what that supervisor takes for Python
"""

import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

SOCKET = "WARM_RANKS_SOCKET"
_ENDED_BADLY = 255
_POLL_SECONDS = 0.05


def serve(address: str) -> None:
    """Imports the packages of a rank, then forks one for each connection."""
    from finetune_spec.config import read_config
    from finetune_trainer.plan.exclusions import excluded_packages
    from finetune_trainer.ranks.launcher import die_with_parent

    die_with_parent()
    for package in excluded_packages(read_config({}), {}):
        sys.modules[package] = None  # As a rank does.
    import finetune_trainer.ranks.training  # noqa: F401
    from trainer import imported

    imported.keep()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _keep(connection)
            connection.close()


def _keep(connection: socket.socket) -> None:
    """Forks the rank, keeps it alive as long as the stub, and reports its end to the stub."""
    body, descriptors, _, _ = socket.recv_fds(connection, 1024 * 1024, 2)
    rank = os.fork()
    if rank == 0:
        connection.close()
        os.setsid()
        for number, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, number)
        _become_rank(**json.loads(body))
    connection.settimeout(_POLL_SECONDS)
    while True:
        ended, status = os.waitpid(rank, os.WNOHANG)
        if ended:
            connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        try:
            connection.recv(1)
        except TimeoutError:
            continue
        except ConnectionError:
            pass
        os.kill(rank, signal.SIGKILL)
        os._exit(0)


def _become_rank(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    option, module, *rest = arguments
    assert option == "-m"
    sys.argv = [module, *rest]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        os._exit(_ENDED_BADLY)


def supervise(arguments: list[str]) -> int:
    """The unchanged supervisor, with another interpreter for its ranks."""
    from finetune_trainer.attempt import supervisor

    stub = Path(os.environ[SOCKET]).with_name("python")
    sys.executable = str(stub)
    return supervisor.main(arguments)


def write_stub(place: Path) -> None:
    """Writes the program that the supervisor uses as Python."""
    path = place / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m trainer.warm_ranks stub "$@"\n')
    path.chmod(0o755)


def stub(arguments: list[str]) -> int:
    from finetune_trainer.ranks.launcher import die_with_parent

    die_with_parent()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[SOCKET])
        told = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
        socket.send_fds(connection, [json.dumps(told).encode()], [1, 2])
        answer = connection.recv(16)
    code = int(answer or str(_ENDED_BADLY))
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "serve":
        serve(*rest)
    from finetune_trainer.failures.stopping import end_process

    end_process({"supervise": supervise, "stub": stub}[role](rest))
