# SPDX-License-Identifier: Apache-2.0
"""The extra for `merge_adapter`: the base model with the adapter merged into it."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_contract import layout
from finetune_contract.notes import Note
from finetune_contract.outcome import Failure
from finetune_contract.progress import TrainerPhase
from finetune_contract.reasons import Reason
from finetune_trainer.attempt.completed import changed_file, read_versions
from finetune_trainer.attempt.inputs_here import fetch_stored
from finetune_trainer.attempt.merged_base import merge_starting_adapter
from finetune_trainer.attempt.precision import notes_of_precision
from finetune_trainer.attempt.published import Published
from finetune_trainer.attempt.starting_adapter import settle_adapter
from finetune_trainer.exchange.extras import merged, not_merged
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Interrupted, Stage
from finetune_trainer.inputs.model_facts import read_fetched_config
from finetune_trainer.inputs.origins import MODEL_KEY, Origins
from finetune_trainer.plan.merging_plan import merging_config, merging_environment
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.training_plan import plan_training
from finetune_trainer.publication.artifact import fetch_artifact
from finetune_trainer.publication.complete import complete_all_the_same
from finetune_trainer.publication.merged import (
    begin,
    end,
    is_published,
    killed_attempt,
    publish_merged,
)
from finetune_trainer.supervision import merging as supervision

log = logging.getLogger(__name__)

MAY_PASS = frozenset(
    {
        *(Reason.STORE_UNREACHABLE, Reason.STORE_BUSY, Reason.HUB_UNREACHABLE),
        *(Reason.CREDENTIALS_EXPIRED, Reason.CLOCK_SKEWED),
    }
)
"""Failures that another attempt may not repeat: they are worth a pod that only merges. Any other
failure would repeat, and then the job would end as failed although its artifact is complete.
"""

NOTING_SECONDS = 5.0
"""How long a stop waits for the note that merging is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """The base model that the adapter is merged into."""

    run: ParsedRun
    """The run with this base model in its config."""
    paths: Mapping[str, Path]
    revision: str | None = None
    """The revision on the hub that the run was trained from; None for the config's."""
    changed: str | None = None
    """What differs from the model that the run was trained from."""


def merge(published: Published) -> tuple[Note, ...]:
    """
    Raises:
        AttemptFailed: another attempt may merge.
        Interrupted: a stop was requested.
    """
    context, store = published.context, published.store
    is_wanted = published.run.config["merge_adapter"] and _is_adapter(published)
    if not is_wanted or is_published(store, published.artifact.digest, context.stop):
        return ()
    context.reporter.enter(TrainerPhase.PUBLISHING)
    try:
        return tuple(_merge(published))
    except Interrupted:
        raise
    except Exception as error:
        if not isinstance(error, AttemptFailed):
            log.exception("merging failed unexpectedly")
        failure = classify(error, Stage.PUBLISHING)
        if failure.reason in MAY_PASS:
            raise complete_all_the_same(AttemptFailed(failure), published.artifact.uri) from error
        return (_told(failure),)


def _merge(published: Published) -> Iterator[Note]:
    """Merges, unless it is known to be useless."""
    attempt, stop = published.run.attempt, published.context.stop
    if (killed := killed_attempt(published.store, attempt, stop)) is not None:
        yield not_merged(
            f"attempt {killed} was killed while merging, most likely because memory or disk "
            "space ran out; raise spec.resources.memory"
        )
        return
    base = _find_base(published)
    if base.changed is not None:
        yield not_merged(f"{base.changed} has changed since the training")
        return
    yield from _merge_into(base, published)


def _merge_into(base: _Base, published: Published) -> Iterator[Note]:
    context, workspace, store = published.context, published.context.workspace, published.store
    fetch_artifact(store, workspace, context.stop)
    # From an earlier try, in a work directory that is used again.
    shutil.rmtree(workspace.merged, ignore_errors=True)
    planned = plan_training(
        base.run,
        context.hardware,
        local_paths=base.paths,
        output=workspace.training,
        resume=None,
    )
    config = merging_config(planned.config, base.revision)
    begin(store, published.run.attempt, context.stop)
    try:
        yield from supervision.merge(context, config, merging_environment(planned.environment))
    finally:
        end(store, context.stop.after(NOTING_SECONDS))
    if not workspace.merged.is_dir():
        return
    publish_merged(store, workspace, published.artifact.digest, context.stop)
    name = base.run.config[MODEL_KEY]
    yield from notes_of_precision(read_fetched_config(name, base.paths), workspace.merged)
    if published.paths is None:
        yield merged(f"now, into {store.uri}/{layout.MODEL}; nothing else was missing")


def _find_base(published: Published) -> _Base:
    """The base model, fetched if this attempt has not done so: in the state that was used for
    training.
    """
    run, context = published.run, published.context
    if published.paths is not None:
        return _Base(run=run, paths=published.paths)
    run = settle_adapter(run, context)
    paths: Mapping[str, Path] = fetch_stored(run, context, only=MODEL_KEY)
    versions = read_versions(published.store, context.stop)
    changed, revision = _changes(versions, run, paths), _revision_in(versions)
    if changed is None and run.has_merged_base:
        settings = {} if revision is None else {"model_revision": revision}
        exact = replace(run, config=run.config.adjusted(settings))
        paths = merge_starting_adapter(exact, context, paths)
    return _Base(run=run, paths=paths, changed=changed, revision=revision)


def _changes(versions: Mapping[str, Any], run: ParsedRun, paths: Mapping[str, Path]) -> str | None:
    """What has changed since these versions; None if nothing is known to have."""
    name = str(run.config[MODEL_KEY])
    known = [(MODEL_KEY, name)] if name in paths else []
    now = Origins(known, paths, starting=run.starting).digests()
    for what, noun in (("model", "base model"), ("adapter", "adapter that it began with")):
        if (file := changed_file(versions.get(what), now.get(what))) is not None:
            return f"{file} of the {noun}"
    return None


def _revision_in(versions: Mapping[str, Any]) -> str | None:
    then = versions.get("model")
    revision = then.get("revision") if isinstance(then, Mapping) else None
    return revision if isinstance(revision, str) else None


def _is_adapter(published: Published) -> bool:
    return published.artifact.uri.endswith(f"/{layout.ADAPTER}")


def _told(failure: Failure) -> Note:
    return not_merged("; ".join(filter(None, (failure.message, failure.remedy))))
