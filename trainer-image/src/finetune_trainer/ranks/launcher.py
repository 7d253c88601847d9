# SPDX-License-Identifier: Apache-2.0
"""torch's elastic launcher, tied to the supervisor's lifetime."""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from finetune_trainer.exchange.workspace import Workspace, write_atomically

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Makes the kernel kill this process when its parent ends, for whatever reason.

    The launcher gives each rank a session of its own, so no signal to a group reaches them all.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    die_with_parent()
    # After the call above, so that no launcher survives a supervisor that is killed meanwhile.
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main()
    except ChildFailedError as error:
        ends = {rank: failure.exitcode for rank, failure in error.failures.items()}
        write_atomically(Workspace(root=Path(sys.argv[-1])).ends, json.dumps(ends))
        # Its report of 20 lines adds nothing to the ranks' own results.
        sys.exit(1)


if __name__ == "__main__":
    main()
