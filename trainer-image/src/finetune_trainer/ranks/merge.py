# SPDX-License-Identifier: Apache-2.0
"""One process that merges after the adapter is published. The supervisor starts it, alone.

Every exit writes a result file, like a rank's; a killed process leaves its initial one.
"""

import faulthandler
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import yaml

from finetune_spec.config import read_config
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.failures.log_lines import set_up_log
from finetune_trainer.failures.redaction import hide_in_output
from finetune_trainer.failures.stopping import end_process
from finetune_trainer.plan.exclusions import excluded_packages
from finetune_trainer.ranks.launcher import die_with_parent

log = logging.getLogger(__name__)


def main(workspace: Workspace) -> int:
    """Merges, and returns the exit code."""
    result = RankResult(rank=0, time=time.time(), ending=RankEnding.RUNNING)
    write_atomically(workspace.merging_result, result.to_json())
    try:
        from finetune_trainer.ranks.arguments import read_arguments
        from finetune_trainer.ranks.merging import merge_adapter

        notes = merge_adapter(workspace, read_arguments(workspace.merging_config))
        result = replace(result, ending=RankEnding.FINISHED).telling(*notes)
    except BaseException as error:
        log.exception("merging failed")
        failure = classify(error, Stage.MERGING)
        result = replace(result, ending=RankEnding.FAILED, failure=failure)
    write_atomically(workspace.merging_result, replace(result, time=time.time()).to_json())
    return 0 if result.failure is None else 1


def _leave_out_what_is_slow(workspace: Workspace) -> None:
    """As in a rank: packages that the config does not need look as if they were not installed."""
    config = read_config(yaml.safe_load(workspace.merging_config.read_text()))
    for package in excluded_packages(config, os.environ):
        sys.modules[package] = None  # type: ignore[assignment] # import refuses it then


if __name__ == "__main__":
    die_with_parent()
    hide_in_output(os.environ)
    set_up_log(logging.INFO, "%(levelname)s %(name)s %(message)s")
    # The supervisor requests the stacks of a process that hangs.
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or sys.stderr)
    workspace = Workspace(root=Path(sys.argv[1]))
    _leave_out_what_is_slow(workspace)
    exit_code = main(workspace)
    workspace.heartbeat(0).unlink(missing_ok=True)
    end_process(exit_code)
