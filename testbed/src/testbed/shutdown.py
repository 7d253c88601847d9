# SPDX-License-Identifier: Apache-2.0
"""Removes a cluster in any state completely."""

import os
import signal
import time
from contextlib import suppress

from testbed.folder import Folder, all_folders
from testbed.narration import say

_TIMEOUT_SECONDS = 30


def end(folder: Folder) -> None:
    """Ends a cluster, even one that is partially started or stopped, and removes its remains."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    signal_number = signal.SIGTERM
    while (keeper := folder.keeper) is not None:
        with suppress(ProcessLookupError):
            os.kill(keeper, signal_number)
        time.sleep(0.05)
        if time.monotonic() > deadline:
            signal_number = signal.SIGKILL
    folder.remove()


def remove_dead_clusters() -> None:
    """Removes the remains of clusters whose keeper was killed."""
    for folder in all_folders():
        if folder.keeper is None:
            say(f"Removing the remains of cluster {folder.name}.")
            folder.remove()
