# SPDX-License-Identifier: Apache-2.0
"""Publishes an artifact: files first, the manifest last, then the pointer to it.

Also recognizes an artifact that is already complete.
"""

import json
import logging
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from finetune_contract import layout
from finetune_contract.answers import Answer, parse_answers
from finetune_contract.codec import document_of
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.notes import Note, NoteReason, bounded, warning
from finetune_contract.outcome import Artifact, Outcome
from finetune_trainer.exchange.data_account import DataAccount
from finetune_trainer.exchange.history import Record
from finetune_trainer.exchange.rank_results import RankResult
from finetune_trainer.exchange.workspace import TRAINING_ARGUMENTS, Workspace
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.manifest_facts import facts_of
from finetune_trainer.publication.merged import CARD_FILE
from finetune_trainer.publication.report.card import model_card
from finetune_trainer.publication.report.files import report_texts, write_texts
from finetune_trainer.publication.report.story import RunFacts, Story
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.manifest import ArtifactManifest, File, Pointer
from finetune_trainer.storage.store import Store, read_if_there

log = logging.getLogger(__name__)

ADAPTER_CONFIG = "adapter_config.json"
CARD = "README.md"
PROCESSOR = "processor_config.json"

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def published_outcome(store: Store, stop: StopRequest) -> Outcome | None:
    """The outcome of the attempt that already completed this run; None without one."""
    body = transfer.ask(lambda: read_if_there(store, layout.MANIFEST), layout.MANIFEST, stop)
    if body is None:
        return None
    try:
        manifest = ArtifactManifest.from_json(body)
        facts_of(manifest)
    except InvalidDocument as error:
        log.warning("manifest unreadable, training again error=%s", error)
        return None
    if not manifest.is_complete(transfer.ask(store.sizes, store.uri, stop)):
        log.warning("artifact incomplete, training again uri=%s", store.uri)
        return None
    return _outcome(store, manifest)


def publish(
    output: Store,
    store: Store,
    run: ParsedRun,
    workspace: Workspace,
    result: RankResult,
    run_facts: RunFacts | None = None,
    stop: StopRequest | None = None,
) -> Outcome:
    """Uploads artifact and report of a verified run, and completes it.

    Repeating it is harmless: the manifest counts, and it is written last.

    Raises:
        AttemptFailed: the store does not accept it.
        Interrupted: a stop was requested; the run may be complete anyway.
    """
    story = _story(run, workspace, result, run_facts or RunFacts())
    missing = (*_finish_artifact(workspace, story), *_write_report(workspace, story))
    if missing:
        result = result.telling(_note_of_missing(missing))
    kind = layout.ADAPTER if story.is_adapter else layout.MODEL
    files = tuple(
        file
        for prefix, folder in _folders(workspace, story, kind).items()
        for file in transfer.upload(store, folder, prefix, stop)
    )
    manifest = ArtifactManifest(files=files, facts=_facts(run, story, result, kind))
    _write(store, layout.MANIFEST, manifest.to_json(), stop)
    point_to(output, run, manifest.digest, stop)
    log.info("published uri=%s digest=%s", store.uri, manifest.digest)
    return _outcome(store, manifest)


def point_to(output: Store, run: ParsedRun, digest: str, stop: StopRequest | None) -> None:
    """Points the output location at this complete run as its newest."""
    pointer = Pointer(run_id=run.run_id, manifest=f"{run.run_id}/{layout.MANIFEST}", digest=digest)
    _write(output, layout.LATEST, json.dumps(document_of(pointer)), stop)


def keep_rejected(
    store: Store,
    run: ParsedRun,
    workspace: Workspace,
    result: RankResult,
    run_facts: RunFacts,
    stop: StopRequest | None = None,
) -> str:
    """Uploads a trained but unusable model, with its report, and returns its location.

    Nothing points there, and the run stays incomplete: it serves to find the cause, or for users
    who decide otherwise.
    """
    story = _story(run, workspace, result, run_facts)
    _finish_artifact(workspace, story)
    _write_report(workspace, story)
    kind = layout.ADAPTER if story.is_adapter else layout.MODEL
    for prefix, folder in _folders(workspace, story, kind).items():
        transfer.upload(store, folder, f"{layout.REJECTED}/{prefix}", stop)
    return locations.join(store.uri, layout.REJECTED)


def fetch_artifact(store: Store, workspace: Workspace, stop: StopRequest) -> Path:
    """A complete run's artifact as it was published: local, or downloaded.

    Raises:
        AttemptFailed: it does not match its manifest.
    """
    if workspace.artifact.is_dir():
        return workspace.artifact
    body = transfer.ask(lambda: store.read(layout.MANIFEST), layout.MANIFEST, stop)
    manifest = ArtifactManifest.from_json(body)
    kind = facts_of(manifest).artifact
    files = {file.path: file.sha256 for file in manifest.files if _is_below(file, kind)}
    targets = {path: workspace.artifact / path.removeprefix(f"{kind}/") for path in files}
    transfer.require_intact(store, files, transfer.download(store, targets, stop))
    return workspace.artifact


def name_base_model(folder: Path, base: BaseModel) -> None:
    """Makes an adapter name its base model so that it can be loaded, or leaves it unnamed. PEFT
    writes the model's path in this work directory, which exists nowhere else.
    """
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return
    config = parse_object(path.read_bytes(), path.name)
    config |= {"base_model_name_or_path": base.loads_as, "revision": base.revision}
    # The file may be a link to a checkpoint's, which must not change.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(config, indent=2, sort_keys=True))
    draft.replace(path)


def read_history(workspace: Workspace) -> list[Record]:
    """Every record that the trainer logged; those of this attempt follow those before."""
    if not workspace.metrics.is_file():
        return []
    return [json.loads(line) for line in workspace.metrics.read_text().splitlines() if line]


def versions() -> dict[str, str]:
    """The package versions of an artifact, found without importing them."""
    return {package: metadata.version(package) for package in PACKAGES}


def _folders(workspace: Workspace, story: Story, kind: str) -> dict[str, Path]:
    """The directories to upload: the path in the store, and the local one."""
    folders = {kind: workspace.artifact, layout.REPORT: workspace.report}
    for name in story.run_facts.local_trackers:
        folders[f"{layout.REPORT}/{name}"] = workspace.trackers / name
    return folders


def answers_in(workspace: Workspace, redaction: Redaction) -> tuple[Answer, ...]:
    """The answers before and after training, for users who look at the job."""
    texts = [
        {name: redaction.text(text) for name, text in sample.items() if isinstance(text, str)}
        for sample in _samples_in(workspace)
    ]
    return parse_answers(texts)


def _samples_in(workspace: Workspace) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = []
    if workspace.samples.is_file():
        samples = json.loads(workspace.samples.read_text())
    return samples


def _story(run: ParsedRun, workspace: Workspace, result: RankResult, run_facts: RunFacts) -> Story:
    is_adapter = (workspace.artifact / ADAPTER_CONFIG).is_file()
    return Story(
        run=run,
        history=read_history(workspace),
        samples=_samples_in(workspace),
        figures=result.figures,
        step=result.step,
        world_size=run.world.size,
        versions=versions(),
        is_adapter=is_adapter,
        has_processor=(workspace.artifact / PROCESSOR).is_file(),
        is_to_be_merged=is_adapter and bool(run.config["merge_adapter"]),
        added_tokens=tuple(run.config["added_tokens"] or ()),
        trains_token_rows=bool(_adapter_config(workspace).get("trainable_token_indices")),
        account=_read_account(workspace),
        attention=result.attention,
        note=result.note,
        notes=bounded(result.notes),
        run_facts=run_facts,
    )


def _adapter_config(workspace: Workspace) -> Mapping[str, Any]:
    path = workspace.artifact / ADAPTER_CONFIG
    return parse_object(path.read_bytes(), path.name) if path.is_file() else {}


def _read_account(workspace: Workspace) -> DataAccount | None:
    if not workspace.data_account.is_file():
        return None
    return DataAccount.from_json(workspace.data_account.read_bytes())


def _note_of_missing(names: tuple[str, ...]) -> Note:
    return warning(
        NoteReason.EXTRA_MISSING,
        f"{', '.join(names)} could not be written; the trainer's log contains the reason. The "
        "trained artifact is complete without them",
    )


def _finish_artifact(workspace: Workspace, story: Story) -> tuple[str, ...]:
    """Returns the names of files that could not be written."""
    (workspace.artifact / TRAINING_ARGUMENTS).unlink(missing_ok=True)
    name_base_model(workspace.artifact, story.base_of_adapter)
    kind = layout.ADAPTER if story.is_adapter else layout.MODEL
    card = {CARD: lambda: model_card(story, kind)}
    return write_texts(workspace.artifact, card, story.run_facts.redaction)


def _write_report(workspace: Workspace, story: Story) -> tuple[str, ...]:
    """Returns the names of files that could not be written."""
    texts = dict(report_texts(story))
    if story.is_to_be_merged:
        texts[CARD_FILE] = lambda: model_card(story, layout.MODEL)
    return write_texts(workspace.report, texts, story.run_facts.redaction)


def _facts(run: ParsedRun, story: Story, result: RankResult, kind: str) -> Mapping[str, Any]:
    return {
        "runId": run.run_id,
        "job": {"namespace": run.job.namespace, "name": run.job.name},
        "artifact": kind,
        "baseModel": story.base_model,
        "result": {
            "step": result.step,
            "totalSteps": result.total_steps,
            "worldSize": run.world.size,
            "verified": result.verified,
            "figures": dict(result.figures),
            "note": result.note,
            "notes": [note.to_document() for note in bounded(result.notes)],
        },
    }


def _outcome(store: Store, manifest: ArtifactManifest) -> Outcome:
    facts = facts_of(manifest)
    kind, result = facts.artifact, facts.result
    return Outcome(
        artifact=Artifact(
            uri=locations.join(store.uri, kind),
            digest=manifest.digest,
            size_bytes=sum(file.size for file in manifest.files if _is_below(file, kind)),
        ),
        adapter_verified=result.verified,
        step=result.step,
        total_steps=result.total_steps,
        world_size=result.world_size,
        figures=result.figures,
        note=result.note,
        notes=result.notes,
    )


def _is_below(file: File, folder: str) -> bool:
    return file.path.startswith(f"{folder}/")


def _write(store: Store, path: str, text: str, stop: StopRequest | None) -> None:
    transfer.ask(lambda: store.write(path, text.encode()), path, stop)
