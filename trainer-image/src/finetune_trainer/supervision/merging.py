# SPDX-License-Identifier: Apache-2.0
"""Merges the adapter in a separate process, and reports the result.

By then the adapter is published and no rank runs: however this process ends, even if the kernel
kills it for its memory, nothing that was trained is lost.
"""

import signal
from collections.abc import Mapping
from typing import Any

import yaml

from finetune_contract.documents import InvalidDocument
from finetune_contract.notes import Note
from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_contract.run import World
from finetune_trainer.exchange import heartbeats
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.supervision import launching
from finetune_trainer.supervision.context import AttemptContext

PROCESS = "finetune_trainer.ranks.merge"


def merge(
    context: AttemptContext, config: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Note, ...]:
    """Writes the merged model to `workspace.merged`, and returns notes about it: if there is no
    directory, the reason why. `environment` is added to the supervisor's own.

    Raises:
        AttemptFailed: it failed.
        Interrupted: a stop was requested; the process is abandoned.
    """
    workspace = context.workspace
    workspace.merging_config.write_text(yaml.safe_dump(dict(config), allow_unicode=True))
    ended = launching.run_alone(_launch(context, environment), PROCESS, context.stop)
    context.stop.check()
    failure, notes = _read(context, ended)
    if failure is not None:
        raise AttemptFailed(failure)
    return notes


def _launch(context: AttemptContext, environment: Mapping[str, str]) -> launching.Launch:
    variables = {**context.environment, **environment}
    return launching.Launch(
        world=World(),
        node=0,
        workspace=context.workspace,
        environment=launching.rank_environment(context.environment, environment),
        output=context.rank_output,
        stop_seconds=0.0,
        start_seconds=0.0,
        watch=heartbeats.HeartWatch(
            workspace=context.workspace,
            ranks=range(1),
            bound_seconds=heartbeats.bound_of(variables),
        ),
    )


def _read(
    context: AttemptContext, ended: launching.Ended
) -> tuple[Failure | None, tuple[Note, ...]]:
    try:
        result = RankResult.from_json(context.workspace.merging_result.read_bytes())
    except (FileNotFoundError, InvalidDocument):
        return _unfinished(ended), ()
    if result.ending is RankEnding.RUNNING:
        return _unfinished(ended), ()
    return result.failure, result.notes


def _unfinished(ended: launching.Ended) -> Failure:
    """The failure of a process that wrote no result."""
    if (hung := ended.hung) is not None:
        return Reason.RANKS_HUNG.failure(
            f"merging made no progress for {hung.seconds:.0f} s; it was {hung.doing}",
            "check the stacks in the trainer's log",
        )
    if ended.exit_code < 0:
        name = signal.Signals(-ended.exit_code).name
        return Reason.RANK_KILLED.failure(
            f"merging was killed by a signal ({name}), most likely because the node's memory ran "
            "out",
            "raise spec.resources.memory",
        )
    return Reason.INTERNAL.failure(
        f"merging ended with exit code {ended.exit_code} without a result",
        "check the end of the trainer's log",
    )
