# SPDX-License-Identifier: Apache-2.0
"""Reports on a run that was complete before this attempt began: nothing was trained.

A run is identified by its config, and the same config may name a file that has changed since. So
the inputs of the run are compared with the current ones, where that is cheap.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_contract import layout
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.notes import Note, NoteReason, bounded, info, warning
from finetune_contract.outcome import Outcome
from finetune_trainer.attempt.starting_adapter import settle_adapter
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs import fetching
from finetune_trainer.inputs.origins import Origins
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.training_plan import names_to_fetch
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, open_store, read_if_there
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)

VERSIONS = f"{layout.REPORT}/versions.json"
MOST_BYTES = 1024**3
"""Bytes that are read again for the comparison; more would take too long."""

_DIGITS = 12
AGAIN = "to train again, set spec.runToken to another value"


def telling_what_changed(
    run: ParsedRun, context: AttemptContext, store: Store, outcome: Outcome
) -> Outcome:
    """The outcome of a complete run, with the findings of this attempt."""
    if context.node != 0:
        return outcome
    notes = notes_of_completed(run, context, store)
    for note in notes:
        log.info("%s: %s", note.reason, note.message)
    return replace(outcome, notes=bounded((*notes, *outcome.notes)))


def notes_of_completed(run: ParsedRun, context: AttemptContext, store: Store) -> tuple[Note, ...]:
    """The changes since, one note each; or that nothing has changed."""
    then = read_versions(store, context.stop)
    now = _digests_now(run, context)
    changes = tuple(_changes(then, now))
    if changes:
        return changes
    same = ", ".join(_compared(then, now))
    known = f"; {same} is unchanged since the training" if same else ""
    return (
        info(
            NoteReason.NOTHING_TRAINED,
            f"nothing was trained: this run was already complete{known}; {AGAIN}",
        ),
    )


def read_versions(store: Store, stop: StopRequest) -> Mapping[str, Any]:
    """The inputs of the run, from its report; empty if that is invalid."""
    body = transfer.ask(lambda: read_if_there(store, VERSIONS), VERSIONS, stop)
    if body is None:
        return {}
    try:
        return parse_object(body, VERSIONS)
    except InvalidDocument as error:
        log.warning("not compared with the inputs of the training because=%s", error)
        return {}


def changed_file(before: Any, after: Any) -> str | None:
    """A file that differs between the entries of two times; None if all are equal, or if one of the
    times is unknown.
    """
    then, now = _files_of(before), _files_of(after)
    if not then or not now:
        return None
    return next((file for file, digest in then.items() if now.get(file) != digest), None)


def _digests_now(run: ParsedRun, context: AttemptContext) -> Mapping[str, Any]:
    """In the form of `Origins`, for inputs that are cheap to read."""
    run = _settled(run, context)
    names = list(names_to_fetch(run.config))
    paths: dict[str, Path] = {}
    for place, (key, name) in enumerate(names):
        try:
            if not _is_small(name, context):
                continue
            folder = context.workspace.inputs / f"{place}-{key}"
            found = fetching.fetch(key, name, folder, context.environment, context.stop)
        except AttemptFailed as error:
            # The run is complete anyway.
            log.warning("not compared %s because=%s", key, error)
            continue
        if found is not None:
            paths[name] = found
    known = [(key, name) for key, name in names if name in paths]
    return Origins(known, paths, run.config["model_revision"], run.starting).digests()


def _settled(run: ParsedRun, context: AttemptContext) -> ParsedRun:
    """With the base model of an adapter, if it can still be read."""
    try:
        return settle_adapter(run, context)
    except AttemptFailed as error:
        log.warning("not compared the adapter because=%s", error)
        return run


def _is_small(name: str, context: AttemptContext) -> bool:
    if locations.is_in_store(name):
        store = open_store(name, context.environment)
        sizes = transfer.ask(store.sizes, name, context.stop)
        return sum(sizes.values()) <= MOST_BYTES
    path = locations.path_of(name)
    if path is None:
        return False
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) <= MOST_BYTES


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Note]:
    for what, before, after in _pairs(then, now):
        for file, digest in before.items():
            if (found := after.get(file)) == digest:
                continue
            is_now = f"{_short(found)} now" if found else "not there now"
            yield warning(
                NoteReason.INPUTS_CHANGED,
                f"nothing was trained: this run was already complete, and {what} has changed "
                f"since: {file} was sha256:{_short(digest)}, and is {is_now}; {AGAIN}",
            )
            break
        else:
            if added := next((file for file in after if file not in before), None):
                yield warning(
                    NoteReason.INPUTS_CHANGED,
                    f"nothing was trained: this run was already complete, and {what} has an "
                    f"additional file: {added}; {AGAIN}",
                )


def _compared(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for what, before, _ in _pairs(then, now):
        digest = next(iter(before.values()), None)
        if digest is not None:
            yield f"{what} (sha256:{_short(digest)})"


def _pairs(
    then: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, str], Mapping[str, str]]]:
    """The digests of the files that are known at both times; the data first."""
    data = {entry["name"]: entry for entry in now.get("data") or ()}
    known = then.get("data")
    # Any user who may write to the location may have written these.
    entries = [it for it in known if isinstance(it, Mapping)] if isinstance(known, list) else []
    both: list[tuple[str, Any, Any]] = [
        ("the data", entry, data.get(str(entry.get("name")))) for entry in entries
    ]
    both.append(("the adapter", then.get("adapter"), now.get("adapter")))
    both.append(("the base model", then.get("model"), now.get("model")))
    for what, before, after in both:
        then_files, now_files = _files_of(before), _files_of(after)
        if then_files and now_files:
            yield what, then_files, now_files


def _files_of(entry: Any) -> Mapping[str, str]:
    """The digest of each file, if valid."""
    files = entry.get("files") if isinstance(entry, Mapping) else None
    found = files.items() if isinstance(files, Mapping) else ()
    return {name: digest for name, digest in found if isinstance(digest, str)}


def _short(digest: str) -> str:
    return digest[:_DIGITS]
