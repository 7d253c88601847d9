# SPDX-License-Identifier: Apache-2.0
"""The resource use of a process of this machine, from the kernel."""

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time of all its threads since its start."""
    # After its name, which may contain spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mebibytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
