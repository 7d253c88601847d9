# SPDX-License-Identifier: Apache-2.0
"""How NCCL connects the GPUs, read from its log.

NCCL falls back from InfiniBand to TCP sockets without an error, and training is then many times
slower. Only its own log names the choice; each rank writes it to a separate file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from finetune_contract.run import World
from finetune_trainer.plan.node.hardware import Hardware

_PREFIX = "NCCL_DEBUG"
_MAX_FILE_BYTES = 8 * 2**20
_MAX_WARNINGS = 20
_MAX_LINE = 300

_CONNECTION = re.compile(
    r"NCCL INFO Channel .{1,80}? via (P2P|SHM|NET|COLLNET)(?:/([\w. ]{1,40}))?"
)
_WARNING = re.compile(r"NCCL WARN (.+)")

SOCKETS = "TCP sockets"
_NAMES = {"P2P": "GPU peer-to-peer (NVLink or PCIe)", "SHM": "host memory"}
_SOCKET = "Socket"

OVER_SOCKETS = (
    "the nodes exchange gradients over TCP sockets, which is slow: NCCL found no InfiniBand, RoCE "
    "or other fast network in the pods"
)


def variables(
    folder: Path, world: World, hardware: Hardware, environment: Mapping[str, str]
) -> dict[str, str]:
    """The variables for NCCL's log; empty without communication between GPUs, or if the user sets
    another log.
    """
    is_set = any(name.startswith(_PREFIX) for name in environment)
    if world.size == 1 or not hardware.has_cuda or is_set:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "NCCL_DEBUG": "INFO",
        # The lines that name the transports, and none for each collective.
        "NCCL_DEBUG_SUBSYS": "INIT",
        "NCCL_DEBUG_FILE": str(folder / "%h.%p.log"),
    }


def read_transports(folder: Path) -> tuple[str, ...]:
    """The transports between the ranks of this node and their peers; empty if unknown."""
    return transports_of(_lines(folder))


def read_warnings(folder: Path) -> tuple[str, ...]:
    """NCCL's own warnings, which it writes to its file instead of the log; the first of them."""
    found = (match[1][:_MAX_LINE] for line in _lines(folder) if (match := _WARNING.search(line)))
    return tuple(dict.fromkeys(found))[:_MAX_WARNINGS]


def transports_of(lines: Iterable[str]) -> tuple[str, ...]:
    """The transports in these lines, in words, each once."""
    found = {_name(match) for line in lines if (match := _CONNECTION.search(line))}
    return tuple(sorted(found))


def _name(match: "re.Match[str]") -> str:
    kind, detail = match[1], match[2] or ""
    if kind in _NAMES:
        return _NAMES[kind]
    if detail == _SOCKET:
        return SOCKETS
    # The name of a provider's plugin: IB, IBext_v8, AWS Libfabric, FasTrak.
    return f"network {detail}" if detail else "network"


def _lines(folder: Path) -> Iterator[str]:
    """Bounded: with more debug output a rank may fill a disk."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        with path.open(errors="replace") as file:
            yield from file.read(_MAX_FILE_BYTES).splitlines()
