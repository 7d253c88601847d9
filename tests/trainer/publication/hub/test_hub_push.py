# SPDX-License-Identifier: Apache-2.0
"""Pushes to the hub, over real HTTP to a stub of it (`hub_stub`): a real hub is not available."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category, Outcome
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.publication import artifact
from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.hub import client, publishing
from finetune_trainer.publication.hub.checkpoints import CheckpointPusher
from finetune_trainer.publication.hub.client import HubClient
from finetune_trainer.publication.hub.destination import destination_of
from finetune_trainer.storage.folder import FolderStore
from trainer.hub_stub import TOKEN, HubStub
from trainer.in_process import carry_out_here, train
from trainer.runs import a_folder, a_parsed_run

CHECKPOINT = {
    "adapter_model.safetensors": b"weights",
    "adapter_config.json": b'{"base_model_name_or_path": "/work/inputs/0"}',
    "tokenizer.json": b"{}",
    "optimizer.pt": b"state",
    "rng_state.pth": b"state",
    "trainer_state.json": b"{}",
    "README.md": b"base_model: /work/inputs/0",
}


BASE = BaseModel.of("org/base")


def variables(hub: HubStub, token: str = TOKEN) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token}


def a_client(hub: HubStub, stop: StopRequest | None = None, **config: Any) -> HubClient:
    destination = destination_of(a_parsed_run(push_to_hub=True, **config), variables(hub))
    assert destination is not None
    return HubClient(destination, stop or StopRequest())


class Complete:
    """A run that is complete in its location, and not on the hub."""

    def __init__(self, place: Path, **config: Any) -> None:
        output = FolderStore(place / "out")
        self.run: ParsedRun = a_parsed_run(output=output.uri, push_to_hub=True, **config)
        self.store = FolderStore(place / "out" / self.run.run_id)
        self.workspace = Workspace(root=place / "work")
        a_folder(self.workspace.artifact, CHECKPOINT)
        result = RankResult(rank=0, time=0, ending=RankEnding.FINISHED, step=4, verified=True)
        self.outcome: Outcome = artifact.publish(
            output, self.store, self.run, self.workspace, result
        )

    def push(self, environment: Mapping[str, str], stop: StopRequest | None = None) -> None:
        told = (self.run, environment, self.store, self.outcome, self.workspace)
        publishing.push_complete(*told, stop or StopRequest())


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    return Complete(tmp_path)


def test_the_verified_artifact_is_pushed_under_the_jobs_name(
    hub: HubStub, complete: Complete
) -> None:
    complete.push(variables(hub))

    pushed = hub.files["main"]
    assert list(hub.repositories) == ["team/balloon"]
    assert pushed["adapter_model.safetensors"] == b"weights"
    config = json.loads(pushed["adapter_config.json"])
    assert config["base_model_name_or_path"] is None
    assert b"`s3://models/tiny`" in pushed["README.md"]
    assert b"# balloon" in pushed["README.md"]
    assert hub.messages == ["Fine-tuned in 4 steps"]


@pytest.mark.parametrize(
    ("part", "statuses"),
    [
        pytest.param("commit", [500, 503], id="the commit fails twice"),
        pytest.param("preupload", [502], id="preparing fails once"),
        pytest.param("repos/create", [500, 500, 500], id="making the repository fails thrice"),
        pytest.param("commit", [429], id="too many requests"),
    ],
)
def test_a_temporary_failure_is_retried(
    hub: HubStub, complete: Complete, part: str, statuses: list[int]
) -> None:
    hub.failures[part] = list(statuses)

    complete.push(variables(hub))

    assert hub.asked(part) > len(statuses)
    assert "adapter_model.safetensors" in hub.files["main"]


def test_a_hub_that_stays_down_fails_the_attempt_and_loses_nothing(
    hub: HubStub, complete: Complete
) -> None:
    hub.failures["commit"] = [500] * 99

    with pytest.raises(AttemptFailed, match="training is complete") as caught:
        complete.push(variables(hub))

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "HubUnreachable")
    assert complete.store.uri in failure.message
    again = artifact.published_outcome(complete.store, StopRequest())
    assert again == complete.outcome


def test_the_next_attempt_pushes_the_artifact_from_the_store(
    hub: HubStub, complete: Complete, tmp_path: Path
) -> None:
    complete.workspace = Workspace(root=tmp_path / "another pod")

    complete.push(variables(hub))

    assert hub.files["main"]["adapter_model.safetensors"] == b"weights"


def test_a_damaged_artifact_is_not_pushed(hub: HubStub, complete: Complete, tmp_path: Path) -> None:
    complete.workspace = Workspace(root=tmp_path / "another pod")
    complete.store.write("adapter/adapter_model.safetensors", b"w3ights")

    with pytest.raises(AttemptFailed, match="does not match the manifest"):
        complete.push(variables(hub))

    assert hub.files == {}


def test_a_pushed_artifact_is_not_pushed_again(hub: HubStub, complete: Complete) -> None:
    complete.push(variables(hub))
    complete.push({"HF_ENDPOINT": "http://127.0.0.1:1"})

    assert hub.asked("/commit/") == 1
    assert json.loads(complete.store.read("hub.json"))["repository"] == "balloon"


def test_a_run_without_push_to_hub_makes_no_hub_requests(hub: HubStub, complete: Complete) -> None:
    complete.run = complete.run.adjusted({"push_to_hub": False})

    complete.push({})

    assert hub.requests == []


@pytest.mark.parametrize(
    ("key", "value", "made"),
    [
        pytest.param("hub_model_id", "org/tuned", "org/tuned", id="an organization's"),
        pytest.param("hub_model_id", "tuned", "team/tuned", id="one's own"),
        pytest.param("hub_private_repo", True, "team/balloon", id="private"),
    ],
)
def test_the_repository_is_created_as_configured(
    hub: HubStub, key: str, value: Any, made: str
) -> None:
    a_client(hub, **{key: value}).prepare()

    assert list(hub.repositories) == [made]
    is_private = hub.repositories[made].get("visibility") == "private"
    assert is_private == (key == "hub_private_repo")


def test_a_revision_is_a_separate_branch(hub: HubStub, tmp_path: Path) -> None:
    complete = Complete(tmp_path, hub_revision="trial")

    complete.push(variables(hub))

    assert set(hub.files) == {"trial"}


def refusal_before_training(run: ParsedRun, environment: Mapping[str, str]) -> tuple[str, str]:
    with pytest.raises(AttemptFailed) as caught:
        publishing.open_hub(run, environment, StopRequest())
    failure = caught.value.failure
    assert failure.category is Category.USER
    assert TOKEN not in failure.message
    return failure.reason, failure.message


RUN = a_parsed_run(push_to_hub=True)


def test_a_missing_token_is_reported_before_training(hub: HubStub) -> None:
    reason, message = refusal_before_training(RUN, {"HF_ENDPOINT": hub.endpoint})

    assert reason == "HubTokenMissing"
    assert message == "push_to_hub: found true without a token for the hub"


def test_a_token_in_a_file_is_accepted(hub: HubStub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN_PATH": str(file)}

    assert publishing.open_hub(RUN, environment, StopRequest()) is not None
    assert list(hub.repositories) == ["team/balloon"]


def test_a_wrong_token_is_reported_before_training(hub: HubStub) -> None:
    reason, _ = refusal_before_training(RUN, variables(hub, "hf_wrong"))

    assert reason == "HubTokenInvalid"


def test_a_read_only_token_is_reported_before_training(hub: HubStub) -> None:
    hub.role = "read"

    reason, message = refusal_before_training(RUN, variables(hub))

    assert reason == "HubAccessDenied"
    assert "may only read" in message
    assert hub.repositories == {}


def test_a_repository_without_write_access_is_reported_before_training(hub: HubStub) -> None:
    hub.writable = False

    reason, message = refusal_before_training(
        a_parsed_run(push_to_hub=True, hub_model_id="x/y"), variables(hub)
    )

    assert reason == "HubAccessDenied"
    assert "x/y" in message
    assert "rights to create" in message


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("http://127.0.0.1:1", id="no server"),
        pytest.param(None, id="it answers with errors"),
    ],
)
def test_an_unreachable_hub_is_not_a_user_error(hub: HubStub, endpoint: str | None) -> None:
    hub.failures["whoami"] = [500] * 99
    environment = {**variables(hub), "HF_ENDPOINT": endpoint or hub.endpoint}

    opened = publishing.open_hub(RUN, environment, StopRequest())

    assert opened is not None
    assert opened.destination.repository == "balloon"


PUSHED = {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"}
STATE = {"optimizer.pt", "rng_state.pth", "trainer_state.json"}


@pytest.mark.parametrize(
    ("strategy", "below"),
    [
        pytest.param("end", None, id="end"),
        pytest.param("every_save", None, id="every_save"),
        pytest.param("checkpoint", "last-checkpoint", id="checkpoint"),
        pytest.param("all_checkpoints", "checkpoint-2", id="all_checkpoints"),
    ],
)
def test_checkpoints_are_pushed_as_hub_strategy_requires(
    hub: HubStub, tmp_path: Path, strategy: str, below: str | None
) -> None:
    checkpoint = a_folder(tmp_path / "checkpoint", CHECKPOINT)
    pusher = CheckpointPusher(a_client(hub, hub_strategy=strategy), tmp_path / "hub", BASE)

    pusher.offer(checkpoint, 2)
    pusher.finish()

    expected = set() if strategy == "end" else set(PUSHED)
    if below is not None:
        expected |= {f"{below}/{name}" for name in PUSHED | STATE}
    assert set(hub.files.get("main", {})) == expected
    if expected:
        config = json.loads(hub.files["main"]["adapter_config.json"])
        assert config["base_model_name_or_path"] == "org/base"
    own = json.loads((checkpoint / "adapter_config.json").read_bytes())
    assert own["base_model_name_or_path"] == "/work/inputs/0"


def test_a_checkpoint_that_cannot_be_pushed_disturbs_nothing(hub: HubStub, tmp_path: Path) -> None:
    hub.failures["commit"] = [500] * 99
    checkpoint = a_folder(tmp_path / "checkpoint", CHECKPOINT)
    pusher = CheckpointPusher(a_client(hub), tmp_path / "hub", BASE)

    pusher.offer(checkpoint, 2)
    pusher.finish()

    assert hub.asked("/commit/") == len(client.PAUSES) + 1
    assert not any((tmp_path / "hub").iterdir())


@pytest.mark.slow
def test_a_finished_run_is_on_the_hub_and_in_the_bucket(
    online: HubStub, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, push_to_hub=True, hub_model_id="org/tuned")

    assert trained.outcome.failure is None, trained.words()
    published = {path.name: path.read_bytes() for path in (trained.published / "adapter").iterdir()}
    assert online.files["main"] == published
    assert b'from_pretrained(base, "org/tuned")' in published["README.md"]


@pytest.mark.slow
def test_a_failed_push_is_repeated_without_training(
    online: HubStub, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    online.failures["/commit/"] = [500] * (len(client.PAUSES) + 1)
    failed = train(tmp_path, tiny_model, dialogues, push_to_hub=True)
    assert failed.words().startswith("HubUnreachable")

    again = carry_out_here(replace(failed.run, attempt=2), tmp_path)

    assert again.outcome.failure is None
    assert again.outcome.artifact is not None
    assert not again.workspace.metrics.exists()
    assert "adapter_model.safetensors" in online.files["main"]


@pytest.mark.slow
def test_a_missing_token_ends_a_run_before_anything_is_fetched(
    hub: HubStub, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"

    trained = train(tmp_path, nowhere, nowhere, push_to_hub=True)

    assert "push_to_hub" in trained.words()
    assert "HF_TOKEN" in trained.words()
    assert hub.requests == []


@pytest.mark.slow
def test_checkpoints_of_a_real_run_are_on_the_hub_next_to_its_artifact(
    online: HubStub, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(
        tmp_path,
        tiny_model,
        dialogues,
        push_to_hub=True,
        hub_strategy="all_checkpoints",
        save_strategy="steps",
        save_steps=2,
        max_steps=4,
    )

    assert trained.outcome.failure is None, trained.words()
    pushed = online.files["main"]
    assert {"checkpoint-2/optimizer.pt", "checkpoint-2/adapter_model.safetensors"} <= set(pushed)
    assert not any(path.endswith("training_args.bin") for path in pushed)
    assert online.messages[0] == "Training in progress, step 2"
    assert online.messages[-1] == "Fine-tuned in 4 steps"
    work = str(trained.workspace.root).encode()
    assert [path for path, body in pushed.items() if work in body] == []
