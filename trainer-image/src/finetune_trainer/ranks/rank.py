# SPDX-License-Identifier: Apache-2.0
"""One rank: trains, and writes its result. Started by the elastic launcher.

Imports torch only inside `main`, so that even a broken installation ends in a result file.
"""

import atexit
import faulthandler
import gc
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import yaml

from finetune_contract.outcome import Category
from finetune_spec.config import read_config
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.rank_settings import LAUNCHER_VARIABLES, RankSettings
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.failures.log_lines import set_up_log
from finetune_trainer.failures.redaction import hide_in_output
from finetune_trainer.failures.stopping import end_process
from finetune_trainer.plan.exclusions import excluded_packages
from finetune_trainer.ranks.launcher import die_with_parent

log = logging.getLogger(__name__)


def main(workspace: Workspace, rank: int) -> int:
    die_with_parent()
    result = RankResult(rank=rank, time=time.time(), ending=RankEnding.RUNNING)
    write_atomically(workspace.result(rank), result.to_json())
    try:
        settings = RankSettings.from_json(workspace.rank_settings.read_text())
        if not settings.is_distributed:
            for name in LAUNCHER_VARIABLES:
                os.environ.pop(name, None)
        config = read_config(yaml.safe_load(workspace.config.read_text()))
        for package in excluded_packages(config, os.environ):
            # As if it were not installed: otherwise it would be imported, which takes seconds.
            sys.modules[package] = None  # type: ignore[assignment] # import refuses it then
        from finetune_trainer.ranks.training import train

        # torch and its dependencies are never freed, and each garbage collection, also between
        # steps, would scan them for half a second.
        gc.freeze()
        result = train(settings, workspace, rank)
    except BaseException as error:
        failure = classify(error, Stage.TRAINING)
        if failure.category is not Category.USER:
            log.exception("rank failed rank=%d reason=%s", rank, failure.reason)
        result = replace(result, ending=RankEnding.FAILED, failure=failure)
    write_atomically(workspace.result(rank), replace(result, time=time.time()).to_json())
    return 0 if result.failure is None else 1


if __name__ == "__main__":
    # The config's `env` block is already in the environment.
    hide_in_output(os.environ)
    set_up_log(logging.INFO, "%(levelname)s %(name)s %(message)s")
    # The supervisor requests the stacks of a rank that hangs.
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or sys.stderr)
    workspace, rank = Workspace(root=Path(sys.argv[1])), int(os.environ["RANK"])
    exit_code = main(workspace, rank)
    if exit_code == 0:
        # Trackers send the rest of their data. Those of a failed rank may wait forever.
        atexit._run_exitfuncs()
    workspace.heartbeat(rank).unlink(missing_ok=True)
    # Not through the interpreter's own exit: it was seen waiting for a gloo thread that waited for
    # the interpreter's lock, with all work done and the GPU still in use.
    end_process(exit_code)
