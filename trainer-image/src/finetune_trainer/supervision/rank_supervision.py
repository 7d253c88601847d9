# SPDX-License-Identifier: Apache-2.0
"""Runs this node's ranks to their end, uploads their checkpoints, and reports why they failed.

Also divides a grace period between the ranks and the uploads after them.
"""

import logging
from dataclasses import replace

from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason
from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.checkpoints.upload import CheckpointUploader
from finetune_trainer.exchange import heartbeats
from finetune_trainer.exchange.rank_results import RankEnding, RankResult, cause_of_failure
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan import trackers, training_plan
from finetune_trainer.plan.memory_remedies import memory_remedy
from finetune_trainer.plan.node import nccl_log
from finetune_trainer.plan.node.gpu_check import visible_devices
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.topology import topology_of
from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.hub.checkpoints import CheckpointPusher
from finetune_trainer.storage.store import Store
from finetune_trainer.supervision import launching
from finetune_trainer.supervision.context import AttemptContext
from finetune_trainer.supervision.preparing import prepare_ahead

log = logging.getLogger(__name__)

RANKS_SHARE_OF_GRACE = 0.6
"""Also publication's share; the rest of the grace period is for the upload of the ranks' last
checkpoint.
"""

UPLOAD_SHARE_OF_GRACE = 0.9
"""After this share an upload is abandoned, so that the outcome is reported before the kubelet kills
the pod.
"""


def train(
    run: ParsedRun,
    context: AttemptContext,
    store: Store,
    planned: training_plan.TrainingPlan,
    pushes: CheckpointPusher,
) -> list[RankResult]:
    """The results of ranks that all trained to the end; rank 0 may have rejected the artifact.

    Raises:
        AttemptFailed: one did not.
        Interrupted: they stopped on request.
    """
    uploader = _uploader(run, context, store, pushes)
    uploader.start()
    launch = _launch(run, context, planned)
    prepare_ahead(launch, planned.config, context.stop)
    results = launching.run_ranks(launch, context.stop)
    expected = launching.ranks_of_node(run.world, context.node)
    is_finished = len(results) == len(expected) and all(
        result.ending in (RankEnding.FINISHED, RankEnding.REJECTED) for result in results
    )
    uploader.finish(with_last_step=not is_finished, is_late=lambda: _is_late(context))
    if is_finished:
        if results[0].ending is RankEnding.FINISHED:
            pushes.finish()
        return results
    if results and all(result.ending is RankEnding.STOPPED for result in results):
        raise Interrupted
    failure = cause_of_failure(results, expected, run.world.size)
    for line in nccl_log.read_warnings(context.workspace.nccl):
        log.warning("NCCL WARN %s", line)
    if failure.category is Category.OUT_OF_MEMORY:
        failure = replace(failure, remedy=memory_remedy(run.config, run.world.size))
    # While a job is being stopped its ranks lose each other, and are killed: these are no failures.
    if context.stop.is_requested and failure.category not in (
        Category.USER,
        Category.OUT_OF_MEMORY,
    ):
        raise Interrupted
    raise AttemptFailed(failure)


def stop_after_training(context: AttemptContext) -> StopRequest:
    """A stop request for the publication: while there is time left to save the last checkpoint
    instead, if that was held back; else while there is time left to report the outcome.
    """
    has_checkpoint = bool(context.workspace.saved_steps())
    share = RANKS_SHARE_OF_GRACE if has_checkpoint else UPLOAD_SHARE_OF_GRACE
    return context.stop.after(context.grace_seconds * share)


def save_last_step(
    run: ParsedRun, context: AttemptContext, store: Store, error: Interrupted | AttemptFailed
) -> None:
    """Uploads the checkpoint that was held back for an artifact that is not published in time, or
    that the store did not accept: unless the next attempt cannot publish it either.
    """
    if isinstance(error, AttemptFailed) and not _may_pass(error.failure):
        return
    to_no_hub = CheckpointPusher(None, context.workspace.hub, BaseModel(loads_as=None))
    uploader = _uploader(run, context, store, to_no_hub)
    uploader.start()
    uploader.finish(with_last_step=True, is_late=lambda: _is_late(context))


def _may_pass(failure: Failure) -> bool:
    is_expired = failure.reason == Reason.CREDENTIALS_EXPIRED
    return is_expired or failure.category is Category.INFRASTRUCTURE


def _is_late(context: AttemptContext) -> bool:
    return context.stop.age_seconds > context.grace_seconds * UPLOAD_SHARE_OF_GRACE


def _uploader(
    run: ParsedRun,
    context: AttemptContext,
    store: Store,
    pushes: CheckpointPusher,
) -> CheckpointUploader:
    redaction = Redaction.of(context.environment, run.config.written)
    return CheckpointUploader(
        store,
        context.workspace,
        checkpoints.Writer(
            attempt=run.attempt,
            node=context.node,
            nodes=run.world.nodes,
            facts=topology_of(run.config, run.world).to_facts(),
        ),
        keep=run.config["save_total_limit"],
        last_step=lambda: context.reporter.current().total_steps,
        on_complete=context.reporter.note_checkpoint,
        on_failure=lambda step, message: context.reporter.note_unsaved(
            step, redaction.text(message)
        ),
        also=pushes.offer,
    )


def _nccl(
    run: ParsedRun, context: AttemptContext, planned: training_plan.TrainingPlan
) -> dict[str, str]:
    """The variables that make NCCL name its transports, unless pod or config set its log."""
    given = {**context.environment, **planned.environment}
    return nccl_log.variables(context.workspace.nccl, run.world, context.hardware, given)


def _launch(
    run: ParsedRun, context: AttemptContext, planned: training_plan.TrainingPlan
) -> launching.Launch:
    places = trackers.environment(run, context.workspace.trackers)
    # TRL's default must not count as the user's own setting for this wait.
    longest_wait = run.config.number("ddp_timeout") if run.config.is_set("ddp_timeout") else 0.0
    return launching.Launch(
        world=run.world,
        node=context.node,
        workspace=context.workspace,
        environment=launching.rank_environment(
            {**places, **_nccl(run, context, planned), **context.environment},
            {**visible_devices(context.hardware, context.environment), **planned.environment},
        ),
        output=context.rank_output,
        stop_seconds=context.grace_seconds * RANKS_SHARE_OF_GRACE,
        start_seconds=context.start_seconds,
        watch=heartbeats.HeartWatch(
            workspace=context.workspace,
            ranks=launching.ranks_of_node(run.world, context.node),
            bound_seconds=heartbeats.bound_of({**context.environment, **planned.environment}),
            least_seconds=max(heartbeats.LEAST_BOUND_SECONDS, longest_wait),
        ),
    )
