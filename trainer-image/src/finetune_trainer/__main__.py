# SPDX-License-Identifier: Apache-2.0
"""The trainer's process: the supervisor, which handles SIGTERM from the start.

The imports take long on a node that must first read Python's packages from its disk. Meanwhile
SIGTERM ends the process with the exit code of an interruption, also in images without an init,
where the kernel drops a SIGTERM without a handler in the container's first process.
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
    """Nothing has begun, so nothing must be saved."""
    del number, frame
    os._exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
