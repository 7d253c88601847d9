# SPDX-License-Identifier: Apache-2.0
"""The connection of the GPUs according to NCCL's own log. The lines have the format of NCCL 2.28,
but were not written on a GPU.
"""

from pathlib import Path

import pytest

from finetune_contract.run import World
from finetune_trainer.plan.node import nccl_log
from finetune_trainer.plan.node.hardware import Hardware

TWO = World(nodes=2, processes_per_node=1)
GPU, CPUS = Hardware(gpus=1, cpus=4), Hardware(gpus=0, cpus=4)


def line(via: str) -> str:
    return f"trainer-0:42:97 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] {via}"


@pytest.mark.parametrize(
    ("lines", "transports"),
    [
        pytest.param(
            [line("via P2P/CUMEM"), line("via P2P/IPC/read")],
            ("GPU peer-to-peer (NVLink or PCIe)",),
            id="within a node",
        ),
        pytest.param([line("via SHM/direct/direct")], ("host memory",), id="by host memory"),
        pytest.param([line("[send] via NET/Socket/0")], ("TCP sockets",), id="sockets"),
        pytest.param(
            [line("[receive] via NET/IB/3/GDRDMA"), line("via P2P/CUMEM")],
            ("GPU peer-to-peer (NVLink or PCIe)", "network IB"),
            id="InfiniBand and NVLink",
        ),
        pytest.param(
            [line("[send] via NET/AWS Libfabric/0")],
            ("network AWS Libfabric",),
            id="a provider's plugin",
        ),
        pytest.param(["NCCL INFO NET/IB : No device found."], (), id="no connection yet"),
    ],
)
def test_the_transports_between_gpus_are_named(
    lines: list[str], transports: tuple[str, ...]
) -> None:
    assert nccl_log.transports_of(lines) == transports


def test_nccl_logs_to_a_file_where_gpus_communicate(tmp_path: Path) -> None:
    told = nccl_log.variables(tmp_path / "nccl", TWO, GPU, {})

    assert told["NCCL_DEBUG"] == "INFO"
    assert Path(told["NCCL_DEBUG_FILE"]).parent.is_dir()


@pytest.mark.parametrize(
    ("world", "hardware", "environment"),
    [
        pytest.param(World(), GPU, {}, id="one process"),
        pytest.param(TWO, CPUS, {}, id="CPUs"),
        pytest.param(TWO, GPU, {"NCCL_DEBUG": "TRACE"}, id="a user who debugs"),
    ],
)
def test_nccl_is_not_configured_without_communicating_gpus(
    tmp_path: Path, world: World, hardware: Hardware, environment: dict[str, str]
) -> None:
    assert nccl_log.variables(tmp_path, world, hardware, environment) == {}


def test_nccl_warnings_are_kept_for_the_log(tmp_path: Path) -> None:
    text = "pod:1:2 [0] NCCL WARN Cuda failure 'out of memory'\npod:1:2 [0] NCCL INFO comm done\n"
    for rank in range(2):
        (tmp_path / f"{rank}.log").write_text(text)

    assert nccl_log.read_warnings(tmp_path) == ("Cuda failure 'out of memory'",)
    assert nccl_log.read_warnings(tmp_path / "absent") == ()
