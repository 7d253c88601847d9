# SPDX-License-Identifier: Apache-2.0
"""The published files, the owner of a location, and the condition for completion."""

import json
from pathlib import Path

import pytest

from finetune_contract.notes import NoteReason, Severity
from finetune_contract.outcome import Outcome
from finetune_trainer.attempt.run_facts import resolved_config
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.training_plan import plan_training
from finetune_trainer.publication import artifact
from finetune_trainer.publication.merged import publish_merged
from finetune_trainer.publication.report.story import RunFacts
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.storage.manifest import ArtifactManifest
from trainer.runs import a_folder, a_parsed_run

RESULT = RankResult(
    rank=0,
    time=0,
    ending=RankEnding.FINISHED,
    step=4,
    total_steps=4,
    verified=True,
    figures={"first_loss": 4.0, "loss": 0.5},
)


class Place:
    """A work directory with a trained adapter, and the stores that it is published to."""

    def __init__(self, root: Path) -> None:
        self.output = FolderStore(root / "out")
        self.run = a_parsed_run(output=self.output.uri, env={"HF_TOKEN": "secret"})
        self.store = FolderStore(root / "out" / self.run.run_id)
        self.workspace = Workspace(root=root / "work")
        a_folder(
            self.workspace.artifact,
            {
                "adapter_model.safetensors": b"weights",
                "adapter_config.json": b'{"base_model_name_or_path": "/work/inputs/0"}',
                "training_args.bin": b"pickle",
            },
        )
        records = [{"step": 1, "loss": 4.0}, {"step": 4, "loss": 0.5}]
        self.workspace.metrics.write_text("".join(json.dumps(r) + "\n" for r in records))
        sample = {"prompt": "<When>?", "expected": "7", "before": "?", "after": "At 7."}
        self.workspace.samples.write_text(json.dumps([sample]))

    def publish(self, run_facts: RunFacts | None = None) -> Outcome:
        return artifact.publish(
            self.output, self.store, self.run, self.workspace, RESULT, run_facts
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_artifact_report_manifest_and_pointer_are_published(place: Place) -> None:
    outcome = place.publish()

    assert set(place.store.sizes()) == {
        "manifest.json",
        "adapter/README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        *(f"report/{name}" for name in ("config.yaml", "loss.svg", "metrics.jsonl")),
        *(f"report/{name}" for name in ("report.html", "samples.json", "versions.json")),
        "report/resolved_config.yaml",
    }
    assert outcome.artifact is not None
    assert outcome.artifact.uri == f"{place.store.uri}/adapter"
    latest = json.loads(place.output.read("latest.json"))
    assert latest == {
        "runId": place.run.run_id,
        "manifest": f"{place.run.run_id}/manifest.json",
        "digest": outcome.artifact.digest,
    }


@pytest.mark.parametrize(
    ("name", "named"),
    [("org/base", "org/base"), ("/models/base", "/models/base"), ("s3://models/tiny", None)],
)
def test_the_adapter_names_a_loadable_base_model_or_none(
    place: Place, name: str, named: str | None
) -> None:
    place.run = place.run.adjusted({"model_name_or_path": name})

    place.publish()

    config = json.loads(place.store.read("adapter/adapter_config.json"))
    assert config["base_model_name_or_path"] == named
    assert f"`{name}`" in place.store.read("adapter/README.md").decode()
    manifest = ArtifactManifest.from_json(place.store.read("manifest.json"))
    assert manifest.facts["baseModel"] == name


@pytest.mark.parametrize(
    ("made_by", "missing"),
    [
        ("report.files.report_page", {"report/report.html"}),
        ("report.files.loss_curve", {"report/loss.svg"}),
        ("report.files.config_text", {"report/config.yaml", "report/resolved_config.yaml"}),
        ("artifact.model_card", {"adapter/README.md"}),
    ],
)
def test_a_failing_report_is_logged_and_loses_no_adapter(
    place: Place, monkeypatch: pytest.MonkeyPatch, made_by: str, missing: set[str]
) -> None:
    place.publish()
    usual = set(place.store.sizes())
    place.store.delete(sorted(usual))
    for folder in (place.workspace.report, place.workspace.artifact):
        for file in missing:
            (folder / Path(file).name).unlink(missing_ok=True)

    def fail(*_: object) -> str:
        raise ZeroDivisionError("a curve of one point")

    monkeypatch.setattr(f"finetune_trainer.publication.{made_by}", fail)
    outcome = place.publish()

    assert usual - set(place.store.sizes()) == missing
    assert artifact.published_outcome(place.store, StopRequest()) == outcome
    (note,) = outcome.notes
    assert (note.severity, note.reason) == (Severity.WARNING, NoteReason.EXTRA_MISSING)
    assert all(Path(file).name in note.message for file in missing)


def test_nothing_published_contains_the_configs_environment(place: Place) -> None:
    place.publish()

    assert not any(b"secret" in place.store.read(path) for path in place.store.sizes())


def test_answers_in_the_status_contain_no_secret_either(place: Place) -> None:
    sample = {"prompt": "Who?", "expected": "7", "before": None, "after": "secret, or " * 100}
    place.workspace.samples.write_text(json.dumps([sample]))

    (answer,) = artifact.answers_in(place.workspace, Redaction(("secret",)))

    assert (answer.prompt, answer.before) == ("Who?", None)
    assert answer.after is not None
    assert "secret" not in answer.after


def test_a_merged_model_is_published_next_to_the_adapter_which_stays_the_artifact(
    place: Place,
) -> None:
    place.run = place.run.adjusted({"merge_adapter": True})
    outcome = place.publish()
    assert outcome.artifact is not None
    a_folder(place.workspace.merged, {"model.safetensors": b"merged", "config.json": b"{}"})

    publish_merged(place.store, place.workspace, outcome.artifact.digest, StopRequest())

    assert outcome.artifact.uri == f"{place.store.uri}/adapter"
    sizes = place.store.sizes("adapter")
    assert outcome.artifact.size_bytes == sum(sizes.values())
    assert artifact.published_outcome(place.store, StopRequest()) == outcome
    manifests = [
        ArtifactManifest.from_json(place.store.read(name))
        for name in ("manifest.json", "merged.json")
    ]
    listed = {file.path for manifest in manifests for file in manifest.files}
    assert {"model/model.safetensors", "model/README.md", "adapter/README.md"} <= listed
    assert b"PeftModel" not in place.store.read("model/README.md")
    assert b"With the adapter merged into it" in place.store.read("model/README.md")


def test_files_of_local_trackers_are_published_with_the_report(place: Place) -> None:
    a_folder(place.workspace.trackers / "tensorboard", {"events.out.tfevents.1": b"curve"})
    a_folder(place.workspace.trackers / "wandb", {"debug.log": b"sent elsewhere"})

    place.publish(RunFacts(local_trackers=("tensorboard",)))

    assert place.store.read("report/tensorboard/events.out.tfevents.1") == b"curve"
    assert not place.store.sizes("report/wandb")


def test_the_resolved_config_names_no_path_of_the_working_directory(place: Place) -> None:
    planned = plan_training(
        place.run,
        Hardware(gpus=0, cpus=2),
        local_paths={"s3://models/tiny": place.workspace.inputs / "0"},
        output=place.workspace.training,
        resume=place.workspace.training / "checkpoint-2",
    )

    resolved = resolved_config(planned, place.run)

    assert resolved["model_name_or_path"] == "s3://models/tiny"
    assert resolved["use_cpu"] is True
    assert str(place.workspace.root) not in str(resolved)


@pytest.mark.parametrize("times", [pytest.param(2, id="published twice")])
def test_publishing_again_changes_nothing(place: Place, times: int) -> None:
    outcomes = {place.publish().to_json() for _ in range(times)}

    assert len(outcomes) == 1


def test_a_complete_run_is_reported_without_training(place: Place) -> None:
    published = place.publish()

    assert artifact.published_outcome(place.store, StopRequest()) == published


@pytest.mark.parametrize("path", ["adapter/adapter_model.safetensors", "manifest.json"])
def test_an_incomplete_run_is_not_reported_as_done(place: Place, path: str) -> None:
    place.publish()
    place.store.delete([path])

    assert artifact.published_outcome(place.store, StopRequest()) is None
