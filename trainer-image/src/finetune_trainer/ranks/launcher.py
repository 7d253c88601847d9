# SPDX-License-Identifier: Apache-2.0
"""torch's elastic launcher, tied to the supervisor's life."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent is gone, however the parent went.

    The launcher gives each rank a session of its own, so no signal to a group reaches them all.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    die_with_parent()
    # After the call above, so that no launcher is left over from a supervisor killed meanwhile.
    from torch.distributed import run

    run.main()


if __name__ == "__main__":
    main()
