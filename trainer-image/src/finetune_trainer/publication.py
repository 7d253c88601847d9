# SPDX-License-Identifier: Apache-2.0
"""Publishes an artifact: files first, the manifest last, then the pointer to it.

Also knows an artifact that is complete already, and whom an output place belongs to.
"""

import json
import logging
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from finetune_contract import layout
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.outcome import Artifact, Outcome
from finetune_contract.run import Run
from finetune_trainer import report_page
from finetune_trainer.failures import user_error
from finetune_trainer.history import Record
from finetune_trainer.manifest import File, Manifest
from finetune_trainer.plan import effective_config
from finetune_trainer.rank_results import RankResult
from finetune_trainer.stopping import StopRequest
from finetune_trainer.storage import locations, transfer
from finetune_trainer.storage.store import Store, read_if_there
from finetune_trainer.workspace import TRAINING_ARGUMENTS, Workspace

log = logging.getLogger(__name__)

ADAPTER_CONFIG = "adapter_config.json"

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def claim_output(store: Store, run: Run, stop: StopRequest, *, is_first_node: bool) -> None:
    """Make the output place this job's, unless it is another's.

    Raises:
        AttemptFailed: it belongs to another job.
    """
    body = transfer.ask(lambda: read_if_there(store, layout.OWNER), layout.OWNER, stop)
    ours = {"namespace": run.job.namespace, "name": run.job.name}
    if body is None:
        if is_first_node:
            claim = json.dumps(ours).encode()
            transfer.ask(lambda: store.write(layout.OWNER, claim), layout.OWNER, stop)
        return
    owner = parse_object(body, layout.OWNER)
    if {key: owner.get(key) for key in ours} != ours:
        raise user_error(
            "OutputOwned",
            f"{store.uri} belongs to the job {owner.get('namespace')}/{owner.get('name')}",
            f"give this job another spec.output.uri, e.g. {locations.join(store.uri, 'v2')}",
        )


def published_outcome(store: Store, stop: StopRequest) -> Outcome | None:
    """The outcome of the attempt that completed this run already; None if none did."""
    body = transfer.ask(lambda: read_if_there(store, layout.MANIFEST), layout.MANIFEST, stop)
    if body is None:
        return None
    try:
        manifest = Manifest.from_json(body)
    except InvalidDocument as error:
        log.warning("manifest unreadable, training again error=%s", error)
        return None
    if not manifest.is_complete(transfer.ask(store.sizes, store.uri, stop)):
        log.warning("artifact incomplete, training again uri=%s", store.uri)
        return None
    return _outcome(store, manifest)


def publish(
    output: Store, store: Store, run: Run, workspace: Workspace, result: RankResult
) -> Outcome:
    """Upload artifact and report of a verified run, and complete it."""
    story = _story(run, workspace, result)
    _finish_artifact(workspace, story)
    _write_report(workspace, story)
    kind = layout.ADAPTER if story.is_adapter else layout.MODEL
    files = transfer.upload(store, workspace.artifact, kind)
    files += transfer.upload(store, workspace.report, layout.REPORT)
    manifest = Manifest(files=files, facts=_facts(run, story, result, kind))
    _write(store, layout.MANIFEST, manifest.to_json())
    pointer = {
        "runId": run.run_id,
        "manifest": f"{run.run_id}/{layout.MANIFEST}",
        "digest": manifest.digest,
    }
    _write(output, layout.LATEST, json.dumps(pointer))
    log.info("published uri=%s digest=%s", store.uri, manifest.digest)
    return _outcome(store, manifest)


def read_history(workspace: Workspace) -> list[Record]:
    """Every record that the trainer logged; the part of this attempt follows the part before."""
    if not workspace.metrics.is_file():
        return []
    return [json.loads(line) for line in workspace.metrics.read_text().splitlines() if line]


def versions() -> dict[str, str]:
    """The versions that an artifact was made with, found without importing them."""
    return {package: metadata.version(package) for package in PACKAGES}


def _story(run: Run, workspace: Workspace, result: RankResult) -> report_page.Story:
    samples = json.loads(workspace.samples.read_text()) if workspace.samples.is_file() else []
    return report_page.Story(
        run=run,
        config=effective_config(run),
        history=read_history(workspace),
        samples=samples,
        figures=result.figures,
        step=result.step,
        world_size=run.world.size,
        versions=versions(),
        is_adapter=(workspace.artifact / ADAPTER_CONFIG).is_file(),
    )


def _finish_artifact(workspace: Workspace, story: report_page.Story) -> None:
    (workspace.artifact / TRAINING_ARGUMENTS).unlink(missing_ok=True)
    if story.is_adapter:
        # It says where the base model lay in this work folder, which nobody else has.
        path = workspace.artifact / ADAPTER_CONFIG
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = story.base_model
        path.write_text(json.dumps(config, indent=2, sort_keys=True))
    (workspace.artifact / "README.md").write_text(report_page.model_card(story))


def _write_report(workspace: Workspace, story: report_page.Story) -> None:
    workspace.report.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(record)}\n" for record in story.history)
    for name, text in {
        "metrics.jsonl": lines,
        "report.html": report_page.report_page(story),
        "loss.svg": report_page.loss_curve(story),
        "config.yaml": report_page.config_text(story.config),
        "versions.json": json.dumps(story.versions, indent=2, sort_keys=True),
        "samples.json": json.dumps(list(story.samples), indent=2),
    }.items():
        (workspace.report / name).write_text(text)


def _facts(run: Run, story: report_page.Story, result: RankResult, kind: str) -> Mapping[str, Any]:
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
        },
    }


def _outcome(store: Store, manifest: Manifest) -> Outcome:
    kind, result = manifest.facts["artifact"], manifest.facts["result"]
    return Outcome(
        artifact=Artifact(
            uri=locations.join(store.uri, kind),
            digest=manifest.digest,
            size_bytes=sum(file.size for file in manifest.files if _is_below(file, kind)),
        ),
        adapter_verified=result["verified"],
        step=result["step"],
        total_steps=result["totalSteps"],
        world_size=result["worldSize"],
        figures=result["figures"],
    )


def _is_below(file: File, folder: str) -> bool:
    return file.path.startswith(f"{folder}/")


def _write(store: Store, path: str, text: str) -> None:
    transfer.ask(lambda: store.write(path, text.encode()), path)
