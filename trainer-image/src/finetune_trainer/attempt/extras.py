# SPDX-License-Identifier: Apache-2.0
"""Extras: additional results of a run. They are made after the artifact is complete, even by a
later attempt, so none of them can lose it, or make a run train again.

Each extra decides about the consequence of its failure:

    a note       the run succeeds without it; the same job, run again, makes only this extra
    a failure    another attempt may make it, or the user must act first; it makes only this extra
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from finetune_contract.notes import Note, bounded
from finetune_contract.outcome import Outcome
from finetune_trainer.attempt.merging import merge
from finetune_trainer.attempt.published import Published
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Interrupted, Stage
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.publication.complete import complete_all_the_same
from finetune_trainer.publication.hub.publishing import push_complete
from finetune_trainer.storage.store import Store
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)


def push(published: Published) -> tuple[Note, ...]:
    """Pushes the artifact to the hub."""
    run, context = published.run, published.context
    told = (run, context.environment, published.store, published.outcome, context.workspace)
    push_complete(*told, context.stop)
    return ()


EXTRAS: tuple[Callable[[Published], tuple[Note, ...]], ...] = (push, merge)
"""Each checks by itself whether it is requested and not yet made. The faster ones first."""


def with_extras(
    run: ParsedRun,
    context: AttemptContext,
    store: Store,
    outcome: Outcome,
    paths: Mapping[str, Path] | None = None,
) -> Outcome:
    """The outcome with the notes of the extras; `paths` as in `Published`.

    Raises:
        AttemptFailed: one of them failed; all were tried.
        Interrupted: a stop was requested; the next attempt makes the missing extras.
    """
    if context.node != 0 or (artifact := outcome.artifact) is None:
        return outcome
    published = Published(
        run=run, context=context, store=store, outcome=outcome, artifact=artifact, paths=paths
    )
    notes: list[Note] = []
    failures: list[AttemptFailed] = []
    for make in EXTRAS:
        try:
            notes += make(published)
        except Interrupted:
            raise
        except AttemptFailed as error:
            failures.append(error)
        except Exception as error:
            log.exception("an extra failed unexpectedly")
            unforeseen = AttemptFailed(classify(error, Stage.PUBLISHING))
            failures.append(complete_all_the_same(unforeseen, artifact.uri))
    if failures:
        raise failures[0]
    hide = Redaction.of(context.environment, run.config.written).text
    shown = (replace(note, message=hide(note.message)) for note in notes)
    return replace(outcome, notes=bounded((*outcome.notes, *shown)))
