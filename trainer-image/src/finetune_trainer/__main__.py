# SPDX-License-Identifier: Apache-2.0
"""The trainer's process: the supervisor, which can be stopped from the beginning.

On a node that has to read Python's packages from its disk first, their import takes long. SIGTERM
ends the process with the exit code of an interruption meanwhile, also in images without an init,
where the kernel drops a SIGTERM that the container's first process has no handler for.
"""

import os
import signal
from types import FrameType
from typing import NoReturn

from finetune_contract.outcome import ExitCode


def main() -> NoReturn:
    signal.signal(signal.SIGTERM, _end)
    from finetune_trainer.attempt import supervisor
    from finetune_trainer.failures.stopping import end_process

    end_process(supervisor.main())


def _end(number: int, frame: FrameType | None) -> None:
    """Nothing was begun, so nothing is to be saved."""
    del number, frame
    os._exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
