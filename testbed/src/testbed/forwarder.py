# SPDX-License-Identifier: Apache-2.0
"""Lets the host reach an address inside a cluster: 127.0.0.1:PORT there is ADDRESS:PORT here.

    python -m testbed.forwarder PID ADDRESS PORT

PID is the process that holds the cluster's namespaces. The forwarder listens in the host's
network, moves itself into the cluster's, prints the port, and ends with the cluster.
"""

import asyncio
import ctypes
import os
import socket
import sys
from pathlib import Path

from testbed import daemon
from testbed.namespaces import Namespaces

_CLONE_NEWNET = 0x40000000
_CHUNK_BYTES = 256 * 1024


def forward(namespaces: Namespaces, address: str, port: int, *, log: Path) -> int:
    """Starts a forwarder; returns its port on 127.0.0.1."""
    return int(daemon.start("testbed.forwarder", str(namespaces.pid), address, str(port), log=log))


def main(pid: int, address: str, port: int) -> None:
    """Forwards until the process PID ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    cluster = os.pidfd_open(pid)
    _move_into_network_of(cluster)

    def serve(announce: daemon.Announce) -> None:
        announce(str(listener.getsockname()[1]))
        asyncio.run(_serve(listener, cluster, address, port))

    daemon.serve(serve)


def _move_into_network_of(process: int) -> None:
    # os.setns came with Python 3.12; sockets opened before the move stay in their namespace.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(process, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


async def _serve(listener: socket.socket, cluster: int, address: str, port: int) -> None:
    has_ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(cluster, has_ended.set)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        inner_writer.close()
        writer.close()

    # Clients that are still connected when the cluster ends are cut off, so there is no
    # wait_closed.
    server = await asyncio.start_server(connect, sock=listener)
    await has_ended.wait()
    server.close()
    os._exit(0)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
