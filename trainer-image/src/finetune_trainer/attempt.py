# SPDX-License-Identifier: Apache-2.0
"""One attempt at a run: fetch, check, train, verify, publish. Every ending is an outcome.

Composes and decides little; verification happens in rank 0 while the ranks are waited for.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from finetune_contract.outcome import Blame, Failure, Outcome
from finetune_contract.progress import TrainerPhase
from finetune_contract.run import Run
from finetune_trainer import checkpoints, fetching, launching, plan, publication
from finetune_trainer.checkpoint_upload import CheckpointUploader
from finetune_trainer.expected_memory import expect_memory
from finetune_trainer.failures import AttemptFailed, Interrupted, interruption
from finetune_trainer.hardware import Hardware
from finetune_trainer.model_facts import read_fetched_config
from finetune_trainer.orders import Orders
from finetune_trainer.rank_results import Ending, RankResult, cause_of_failure
from finetune_trainer.reporting import Reporter
from finetune_trainer.stopping import StopRequest
from finetune_trainer.storage import locations
from finetune_trainer.storage.store import Store, open_store
from finetune_trainer.workspace import Workspace

log = logging.getLogger(__name__)

RANKS_SHARE_OF_GRACE = 0.6
"""The rest of the grace period belongs to the upload of what the ranks have saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where an attempt takes place."""

    workspace: Workspace
    environment: Mapping[str, str]
    hardware: Hardware
    stop: StopRequest
    reporter: Reporter
    grace_seconds: float
    node: int = 0
    rank_output: Path | None = None
    """Where the ranks' own words go; None for where the supervisor's go."""
    has_whole_environment: bool = True
    """Whether a token can only come by an environment variable, as in a pod."""


def carry_out(run: Run, around: Surroundings) -> Outcome:
    """Do what there is to do; this never raises."""
    around.workspace.clear()
    around.reporter.start()
    try:
        outcome = _carry_out(run, around)
    except Interrupted:
        outcome = _failed(around, None)
    except AttemptFailed as error:
        outcome = _failed(around, error.failure)
    except Exception as error:
        log.exception("the attempt failed unforeseen")
        outcome = _failed(around, _unforeseen(error))
    finally:
        around.reporter.close()
    return outcome


def _carry_out(run: Run, around: Surroundings) -> Outcome:
    around.reporter.enter(TrainerPhase.FETCHING)
    # What can be seen to be wrong is told before anything is downloaded for it.
    _check(run, around, model=None)
    output = open_store(run.output_uri, around.environment)
    publication.claim_output(output, run, around.stop, is_first_node=around.node == 0)
    store = open_store(locations.join(run.output_uri, run.run_id), around.environment)
    if (outcome := publication.published_outcome(store, around.stop)) is not None:
        log.info("the run is complete already uri=%s", store.uri)
        return outcome
    paths = _fetch_inputs(run, around)
    resume = checkpoints.fetch_newest(store, around.workspace.resume, around.stop)
    around.reporter.note_resumed(resume.step if resume else 0)

    around.reporter.enter(TrainerPhase.CHECKING)
    # And again what only the model tells, such as its context length.
    _check(run, around, model=read_fetched_config(run.config.get("model_name_or_path"), paths))
    expected = expect_memory(run, around.hardware, paths, around.environment)
    if expected is not None:
        around.reporter.note_memory(expected.total)
    around.stop.check()
    planned = plan.plan_training(
        run,
        around.hardware,
        local_paths=paths,
        output=around.workspace.training,
        resume=resume.folder if resume else None,
    )
    _write_orders(run, around.workspace, planned, resume.step if resume else 0)
    launching.wait_for_master(run.world, around.stop)

    around.reporter.enter(TrainerPhase.TRAINING)
    results = _train(run, around, store, planned)

    if around.node != 0:
        return Outcome(
            step=results[0].step, total_steps=results[0].total_steps, world_size=run.world.size
        )
    around.reporter.enter(TrainerPhase.PUBLISHING)
    # A stop is not heeded here: to finish is the shortest way to losing nothing.
    outcome = publication.publish(output, store, run, around.workspace, results[0])
    return replace(
        outcome,
        resumed_from_step=resume.step if resume else 0,
        checkpoint_step=around.reporter.current().checkpoint_step or 0,
    )


def _check(run: Run, around: Surroundings, *, model: Mapping[str, Any] | None) -> None:
    plan.check_run(
        run,
        around.hardware,
        trl_version=metadata.version("trl"),
        variables=around.environment if around.has_whole_environment else None,
        model=model,
    )


def _fetch_inputs(run: Run, around: Surroundings) -> dict[str, Path]:
    """Where each model and data set of the config is now, hub names left out."""
    paths: dict[str, Path] = {}
    for place, (key, name) in enumerate(plan.names_in(plan.effective_config(run))):
        folder = around.workspace.inputs / f"{place}-{key}"
        found = fetching.fetch(key, name, folder, around.environment, around.stop)
        if found is not None:
            paths[name] = found
    return paths


def _write_orders(
    run: Run, workspace: Workspace, planned: plan.TrainingPlan, resume_step: int
) -> None:
    workspace.config.write_text(yaml.safe_dump(dict(planned.config), allow_unicode=True))
    orders = Orders(
        world_size=run.world.size,
        is_distributed=planned.is_distributed,
        resume_step=resume_step,
    )
    workspace.orders.write_text(orders.to_json())


def _train(
    run: Run, around: Surroundings, store: Store, planned: plan.TrainingPlan
) -> list[RankResult]:
    """The results of ranks that all finished.

    Raises:
        AttemptFailed: one did not.
        Interrupted: they stopped because they were asked to.
    """
    uploader = CheckpointUploader(
        store,
        around.workspace,
        checkpoints.Writer(attempt=run.attempt, node=around.node, nodes=run.world.nodes),
        keep=planned.config.get("save_total_limit"),
        last_step=lambda: around.reporter.current().total_steps,
        on_complete=around.reporter.note_checkpoint,
    )
    uploader.start()
    environment = launching.rank_environment(around.environment, planned.environment)
    process = launching.launch(
        run.world, around.node, around.workspace, environment, around.rank_output
    )
    launching.wait_for_ranks(
        process, around.workspace, around.stop, around.grace_seconds * RANKS_SHARE_OF_GRACE
    )
    results = launching.read_results(around.workspace, run.world, around.node)
    expected = launching.ranks_of_node(run.world, around.node)
    is_finished = len(results) == len(expected) and all(
        result.ending is Ending.FINISHED for result in results
    )
    uploader.finish(with_last_step=not is_finished)
    if is_finished:
        return results
    _raise_cause(results, expected, is_asked=around.stop.is_requested)
    raise Interrupted


def _raise_cause(results: list[RankResult], expected: range, *, is_asked: bool) -> None:
    """Raise why ranks failed, unless they only stopped because they were asked to."""
    if results and all(result.ending is Ending.STOPPED for result in results):
        return
    failure = cause_of_failure(results, expected)
    # While a job is being taken down its ranks lose each other, and are killed: no failures.
    if not is_asked or failure.blame in (Blame.USER, Blame.OUT_OF_MEMORY):
        raise AttemptFailed(failure)


def _failed(around: Surroundings, failure: Failure | None) -> Outcome:
    """The outcome of an attempt that did not succeed; no failure means that it was stopped."""
    progress = around.reporter.current()
    step, checkpoint_step = progress.step or 0, progress.checkpoint_step or 0
    told = failure or interruption(step, checkpoint_step)
    return Outcome(
        failure=replace(told, phase=progress.phase.value),
        step=step,
        total_steps=progress.total_steps or 0,
        checkpoint_step=checkpoint_step,
        resumed_from_step=progress.resumed_from_step or 0,
        world_size=progress.world_size or 0,
    )


def _unforeseen(error: Exception) -> Failure:
    return Failure(
        blame=Blame.INTERNAL,
        reason="Internal",
        message=f"{type(error).__name__}: {error}",
        remedy="look for the traceback in the trainer's log, and report it",
    )
