# SPDX-License-Identifier: Apache-2.0
"""The first process inside: sets up the node's network and mounts, then only reaps.

    python -m testbed.node FOLDER

When it ends, every other process of the cluster ends.
"""

import signal
import subprocess
import sys
from pathlib import Path

from testbed.addresses import NODE_ADDRESS

_NETWORK = f"""\
link set lo up
link add node0 type veth peer name node0p
link set node0p up
addr add {NODE_ADDRESS}/32 dev node0
link set node0 up
route add default dev node0
"""
"""A veth pair provides the node's address and default route; not every kernel has dummy devices."""


def main(folder: Path) -> None:
    """Prepares the node, announces it, and reaps orphans forever."""
    _run("ip", "-batch", "-", stdin=_NETWORK)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _mount(folder)
    # The kernel reaps for us.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        signal.pause()


def _mount(folder: Path) -> None:
    """Hides the host's directories that a kubelet, a container runtime and CNI plugins write to."""
    # /run contains containerd's sockets, the pods' network namespaces and the lock of iptables.
    for place in ("/run", "/var/log", "/var/lib/cni"):
        Path(place).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", place)
    # The registration directory of device plugins is not configurable.
    kubelet = Path("/var/lib/kubelet")
    kubelet.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", folder / "kubelet", kubelet)
    _run("mount", "--make-rshared", "/")


def _run(*command: str | Path, stdin: str | None = None) -> None:
    subprocess.run(command, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
