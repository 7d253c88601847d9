# SPDX-License-Identifier: Apache-2.0
"""One rank: trains, and leaves an account of how it ended. Started by the elastic launcher.

Imports torch only inside `main`, so that even a broken installation ends in a result file.
"""

import atexit
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from finetune_contract.outcome import Blame
from finetune_trainer.failures import Stage, classify
from finetune_trainer.orders import Orders
from finetune_trainer.rank_results import Ending, RankResult
from finetune_trainer.ranks.launcher import die_with_parent
from finetune_trainer.stopping import end_process
from finetune_trainer.workspace import Workspace, write_atomically

LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""By these torch and accelerate know that they are to form a process group."""

log = logging.getLogger(__name__)


def main(workspace: Workspace, rank: int) -> int:
    die_with_parent()
    result = RankResult(rank=rank, time=time.time(), ending=Ending.RUNNING)
    write_atomically(workspace.result(rank), result.to_json())
    try:
        orders = Orders.from_json(workspace.orders.read_text())
        if not orders.is_distributed:
            for name in LAUNCHER_VARIABLES:
                os.environ.pop(name, None)
        from finetune_trainer.ranks.training import train

        result = train(orders, workspace, rank)
    except BaseException as error:
        failure = classify(error, Stage.TRAINING)
        if failure.blame is not Blame.USER:
            log.exception("rank failed rank=%d reason=%s", rank, failure.reason)
        result = replace(result, ending=Ending.FAILED, failure=failure)
    write_atomically(workspace.result(rank), replace(result, time=time.time()).to_json())
    return 0 if result.failure is None else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    exit_code = main(Workspace(root=Path(sys.argv[1])), int(os.environ["RANK"]))
    if exit_code == 0:
        # Trackers send the rest of what they have. A failed rank's may wait for ever.
        atexit._run_exitfuncs()
    # Not by the interpreter's own exit: it has been seen to wait for a thread of gloo's that waited
    # for the interpreter's lock, with all work done and the GPU still held.
    end_process(exit_code)
