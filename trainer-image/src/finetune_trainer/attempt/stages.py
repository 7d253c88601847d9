# SPDX-License-Identifier: Apache-2.0
"""One attempt at a run: fetch, check, train, verify, publish. Every attempt ends with an outcome.

Verification happens in rank 0 while the supervisor waits for the ranks.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any

import yaml

from finetune_contract.outcome import Failure, Outcome
from finetune_contract.progress import TrainerPhase
from finetune_contract.run import Run
from finetune_spec.memory import Estimate
from finetune_trainer.attempt.base_model import require_base_model
from finetune_trainer.attempt.checking import check
from finetune_trainer.attempt.completed import telling_what_changed
from finetune_trainer.attempt.expected_memory import expect_memory, remedy_for
from finetune_trainer.attempt.extras import with_extras
from finetune_trainer.attempt.fetched import Fetched, fetch_all
from finetune_trainer.attempt.merged_base import merge_starting_adapter
from finetune_trainer.attempt.output_place import enter_output
from finetune_trainer.attempt.precision import notes_of_precision
from finetune_trainer.attempt.run_facts import is_folder_here, run_facts_of
from finetune_trainer.exchange.rank_results import RankResult
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Interrupted, Stage, interruption
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.failures.triton_compiler import require_triton_compiler
from finetune_trainer.inputs.hub_model import is_on_hub
from finetune_trainer.inputs.model_facts import read_fetched_config
from finetune_trainer.inputs.origins import Origins
from finetune_trainer.plan import trackers, training_plan
from finetune_trainer.plan.node import nccl_log
from finetune_trainer.plan.node.attention import require_attention
from finetune_trainer.plan.node.deepspeed_kernels import require_compiler
from finetune_trainer.plan.node.gpu_check import for_world, gpu_notes, require_gpus, require_memory
from finetune_trainer.plan.node.torch_build import find_torch_build
from finetune_trainer.plan.packages import require_model_packages, require_packages
from finetune_trainer.plan.parsed_run import ParsedRun, parse_run
from finetune_trainer.plan.saved_state import SavedState
from finetune_trainer.plan.topology import require_deepspeed, topology_of
from finetune_trainer.publication import artifact
from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.hub.checkpoints import CheckpointPusher
from finetune_trainer.publication.hub.client import HubClient
from finetune_trainer.publication.hub.publishing import open_hub
from finetune_trainer.publication.report.story import RunFacts
from finetune_trainer.supervision import launching, rank_supervision
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)


def carry_out(document: Run, context: AttemptContext) -> Outcome:
    """Runs the attempt; never raises."""
    context.workspace.clear()
    context = replace(context, hardware=for_world(context.hardware, document.world))
    context.reporter.start()
    try:
        outcome = _carry_out(parse_run(document, metadata.version("trl")), context)
    except (Interrupted, KeyboardInterrupt):
        outcome = _failed(context, None)
    except BaseException as error:
        # Rust libraries panic with other classes than Exception, and others raise SystemExit.
        if not isinstance(error, AttemptFailed):
            log.exception("the attempt failed unexpectedly")
        stage = _STAGES[context.reporter.current().phase]
        outcome = _failed(context, classify(error, stage))
    finally:
        context.reporter.close()
    micro_batch = context.reporter.current().micro_batch or 0
    outcome = replace(outcome, hardware=_hardware(context), micro_batch=micro_batch)
    if outcome.failure is not None:
        redaction = Redaction.of(context.environment, document.config)
        outcome = replace(outcome, failure=redaction.failure(outcome.failure))
    return outcome


def _carry_out(run: ParsedRun, context: AttemptContext) -> Outcome:
    context.reporter.enter(TrainerPhase.FETCHING)
    # Visible errors are reported before anything is downloaded.
    check(run, context, model=None)
    require_gpus(run.world, context.hardware.found, find_torch_build(), context.environment)
    trackers.require_installed(run.config)
    require_attention(run.config)
    require_packages(run.config)
    require_deepspeed(run.config)
    require_compiler(run.config, on_gpu=context.hardware.has_cuda)
    require_triton_compiler(run.config, context.environment, on_gpu=context.hardware.has_cuda)
    place = enter_output(run, context)
    if place.completed is not None:
        found = telling_what_changed(run, context, place.store, place.completed)
        if not place.is_ours:
            return found
        return with_extras(run, context, place.store, found)
    output, store = place.output, place.store
    hub = open_hub(run, context.environment, context.stop) if context.node == 0 else None
    fetched = fetch_all(run, context, store)
    run = fetched.run

    context.reporter.enter(TrainerPhase.CHECKING)
    expected = _check_model(fetched, context)
    merged = merge_starting_adapter(run, context, fetched.paths)
    fetched = replace(fetched, merged=merged)
    planned = _plan(fetched, context, expected)
    origins = Origins.of(run.config, fetched.inputs.stored, run.starting)
    launching.wait_for_master(run.world, context.start_seconds, context.stop)

    context.reporter.enter(TrainerPhase.TRAINING)
    base_model = str(run.config["model_name_or_path"])
    named = BaseModel.of_adapter(run, is_folder=is_folder_here(base_model))
    pushes = CheckpointPusher(hub, context.workspace.hub, named)
    results = rank_supervision.train(run, context, store, planned, pushes)
    if context.node != 0:
        step, total_steps = results[0].step, results[0].total_steps
        return Outcome(step=step, total_steps=total_steps, world_size=run.world.size)
    base = read_fetched_config(base_model, fetched.inputs.paths)
    results = [_with_notes(results[0], run, context, base), *results[1:]]
    told = _tell(run, context, planned, origins, hub)
    # Not immediately: finishing is the fastest way to lose nothing.
    stop = rank_supervision.stop_after_training(context)
    try:
        if (failure := results[0].failure) is not None:
            kept = artifact.keep_rejected(store, run, context.workspace, results[0], told, stop)
            message = f"{failure.message}; the trained artifact is kept in {kept}"
            raise AttemptFailed(replace(failure, message=message))

        context.reporter.note_answers(artifact.answers_in(context.workspace, told.redaction))
        context.reporter.enter(TrainerPhase.PUBLISHING)
        outcome = artifact.publish(output, store, run, context.workspace, results[0], told, stop)
    except (Interrupted, AttemptFailed) as error:
        rank_supervision.save_last_step(run, context, store, error)
        raise
    outcome = with_extras(run, context, store, outcome, fetched.paths)
    return replace(
        outcome,
        resumed_from_step=fetched.resume_step,
        checkpoint_step=context.reporter.current().checkpoint_step or 0,
    )


def _check_model(fetched: Fetched, context: AttemptContext) -> Estimate | None:
    """The memory that the run needs with this model, if it can be estimated.

    Raises:
        AttemptFailed: the model cannot be trained, or not with this config, or not here.
    """
    run, paths = fetched.run, fetched.paths
    base_model = str(run.config["model_name_or_path"])
    if is_on_hub(base_model):
        # Again, because the hub may not have sent all that was checked before the download.
        require_base_model(run, context, paths.get(base_model))
    # Checked again for rules that need the model, for example its context length.
    model = read_fetched_config(base_model, paths)
    check(run, context, model=model)
    require_model_packages(model, paths.get(base_model))
    expected = expect_memory(run, context.hardware, paths, context.environment)
    if expected is not None:
        context.reporter.note_memory(expected.total)
        require_memory(
            expected,
            context.hardware,
            lambda gpu_bytes: remedy_for(
                run, context.hardware, paths, context.environment, gpu_bytes
            ),
        )
    context.stop.check()
    return expected


def _plan(
    fetched: Fetched, context: AttemptContext, expected: Estimate | None
) -> training_plan.TrainingPlan:
    """Determines the input of the ranks, and writes it to their files."""
    run, checkpoint = fetched.run, fetched.checkpoint
    planned = training_plan.plan_training(
        run,
        context.hardware,
        local_paths=fetched.paths,
        output=context.workspace.training,
        resume=checkpoint.folder if checkpoint else None,
        state=SavedState(
            optimizer_bytes=expected.parts["optimizer"] * run.world.size if expected else 0,
            was_in_parts=checkpoint.is_in_parts if checkpoint else None,
        ),
    )
    _write_rank_settings(run, context, planned, fetched.resume_step)
    return planned


def _tell(
    run: ParsedRun,
    context: AttemptContext,
    planned: training_plan.TrainingPlan,
    origins: Origins,
    hub: HubClient | None,
) -> RunFacts:
    """Logs and records the facts of the attempt for its report."""
    return replace(
        run_facts_of(run, planned, context.workspace, context.reporter, context.environment),
        repository=None if hub is None else hub.destination.repository,
        digests=origins.digests(),
        licence=origins.licence(),
        hardware=_hardware(context),
    )


def _with_notes(
    result: RankResult, run: ParsedRun, context: AttemptContext, base: Mapping[str, Any] | None
) -> RankResult:
    """The first rank's result with notes on its GPUs and on the published artifact."""
    result = result.telling(*notes_of_precision(base, context.workspace.artifact))
    # A reason may quote a row, and is widely visible.
    hide = Redaction.of(context.environment, run.config.written).text
    shown = tuple(replace(note, message=hide(note.message)) for note in result.notes)
    result = replace(result, notes=shown)
    notes = [*gpu_notes(run.config, context.hardware)]
    if nccl_log.SOCKETS in nccl_log.read_transports(context.workspace.nccl):
        notes.append(nccl_log.OVER_SOCKETS)
    return result.noting(*notes)


def _hardware(context: AttemptContext) -> str:
    """The GPUs and their connections, in words; empty for a job on CPUs."""
    if not context.hardware.has_cuda and context.hardware.found.driver is None:
        return ""
    transports = " and ".join(nccl_log.read_transports(context.workspace.nccl))
    return f"{context.hardware.found}{transports and f', NCCL over {transports}'}"


def _write_rank_settings(
    run: ParsedRun, context: AttemptContext, planned: training_plan.TrainingPlan, resume_step: int
) -> None:
    workspace, gpus = context.workspace, context.hardware.gpus
    workspace.config.write_text(yaml.safe_dump(dict(planned.config), allow_unicode=True))
    topology = topology_of(run.config, run.world)
    log.info("training together: %s", topology)
    settings = RankSettings(
        world_size=run.world.size,
        strategy="" if topology.is_guessed else topology.strategy,
        is_distributed=planned.is_distributed,
        resume_step=resume_step,
        gpus=gpus,
        cpus=context.hardware.cpus,
        measures_base=planned.measures_base,
    )
    workspace.rank_settings.write_text(settings.to_json())


def _failed(context: AttemptContext, failure: Failure | None) -> Outcome:
    """The outcome of an attempt that did not succeed; no failure means that it was stopped."""
    progress = context.reporter.current()
    # Before its first step an attempt is at the step that it resumed from.
    step = progress.step or progress.resumed_from_step or 0
    checkpoint_step = progress.checkpoint_step or 0
    told = failure or interruption(step, checkpoint_step)
    return Outcome(
        failure=replace(told, phase=progress.phase.value),
        step=step,
        total_steps=progress.total_steps or 0,
        checkpoint_step=checkpoint_step,
        resumed_from_step=progress.resumed_from_step or 0,
        world_size=progress.world_size or 0,
    )


_STAGES = {
    TrainerPhase.FETCHING: Stage.FETCHING,
    TrainerPhase.CHECKING: Stage.CHECKING,
    TrainerPhase.TRAINING: Stage.TRAINING,
    TrainerPhase.VERIFYING: Stage.VERIFYING,
    TrainerPhase.PUBLISHING: Stage.PUBLISHING,
}
