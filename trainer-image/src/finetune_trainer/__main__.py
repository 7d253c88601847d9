# SPDX-License-Identifier: Apache-2.0
"""The trainer container's first process: the supervisor, that can be stopped from the beginning.

The kernel keeps SIGTERM from a container's first process until that has said what to do about it,
and on a node that has to read Python and its packages first, their import takes long.
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
