# SPDX-License-Identifier: Apache-2.0
"""What is published, to whom a place belongs, and what counts as done."""

import json
from pathlib import Path

import pytest

from finetune_contract.outcome import Outcome
from finetune_trainer import publication
from finetune_trainer.failures import AttemptFailed
from finetune_trainer.rank_results import Ending, RankResult
from finetune_trainer.stopping import StopRequest
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.workspace import Workspace
from trainer.runs import a_folder, a_run

RESULT = RankResult(
    rank=0,
    time=0,
    ending=Ending.FINISHED,
    step=4,
    total_steps=4,
    verified=True,
    figures={"first_loss": 4.0, "loss": 0.5},
)


class Place:
    """A work folder with a trained adapter, and the stores that it is published to."""

    def __init__(self, root: Path) -> None:
        self.output = FolderStore(root / "out")
        self.run = a_run(output=self.output.uri, env={"HF_TOKEN": "secret"})
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

    def publish(self) -> Outcome:
        return publication.publish(self.output, self.store, self.run, self.workspace, RESULT)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_artifact_report_manifest_and_pointer_are_there(place: Place) -> None:
    outcome = place.publish()

    assert set(place.store.sizes()) == {
        "manifest.json",
        "adapter/README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        *(f"report/{name}" for name in ("config.yaml", "loss.svg", "metrics.jsonl")),
        *(f"report/{name}" for name in ("report.html", "samples.json", "versions.json")),
    }
    assert outcome.artifact is not None
    assert outcome.artifact.uri == f"{place.store.uri}/adapter"
    latest = json.loads(place.output.read("latest.json"))
    assert latest == {
        "runId": place.run.run_id,
        "manifest": f"{place.run.run_id}/manifest.json",
        "digest": outcome.artifact.digest,
    }


def test_the_adapter_names_the_base_model_as_the_user_does(place: Place) -> None:
    place.publish()

    config = json.loads(place.store.read("adapter/adapter_config.json"))
    assert config["base_model_name_or_path"] == "s3://models/tiny"


def test_nothing_published_holds_the_configs_environment(place: Place) -> None:
    place.publish()

    assert not any(b"secret" in place.store.read(path) for path in place.store.sizes())


def test_the_report_is_one_page_and_escapes_what_it_shows(place: Place) -> None:
    place.publish()

    page = place.store.read("report/report.html").decode()
    assert "<svg" in page
    assert "&lt;When&gt;?" in page
    assert "src=" not in page


def test_a_complete_run_is_told_without_training(place: Place) -> None:
    published = place.publish()

    assert publication.published_outcome(place.store, StopRequest()) == published


@pytest.mark.parametrize("path", ["adapter/adapter_model.safetensors", "manifest.json"])
def test_an_incomplete_run_is_not_done(place: Place, path: str) -> None:
    place.publish()
    place.store.delete([path])

    assert publication.published_outcome(place.store, StopRequest()) is None


def test_a_place_belongs_to_the_job_that_claimed_it(place: Place) -> None:
    publication.claim_output(place.output, place.run, StopRequest(), is_first_node=True)
    publication.claim_output(place.output, place.run, StopRequest(), is_first_node=True)

    with pytest.raises(AttemptFailed, match="belongs to the job team-a/balloon") as caught:
        publication.claim_output(
            place.output, a_run(name="other"), StopRequest(), is_first_node=True
        )
    assert caught.value.failure.reason == "OutputOwned"
