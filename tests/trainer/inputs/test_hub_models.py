# SPDX-License-Identifier: Apache-2.0
"""Models of the hub are fetched before any rank starts, however slow and unreliable the hub is."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.exchange.rank_results import RankResult
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs import hub_model
from finetune_trainer.inputs.hub import download, process
from finetune_trainer.inputs.hub.bounded import HubSilent
from finetune_trainer.inputs.hub.fetching import HubModel, fetch_from_hub
from finetune_trainer.supervision import launching
from trainer import in_process
from trainer.hub_files import FileHub, serve

pytestmark = pytest.mark.slow  # a process for each download, which imports the hub's client

MODEL = HubModel(name="org/model")
WEIGHTS = os.urandom(3 * 1024 * 1024)
FILES = {
    "config.json": b"{}",
    "README.md": b"---\nlicense: mit\n---",
    "model.safetensors": WEIGHTS,
}


@pytest.fixture
def files() -> Iterator[FileHub]:
    with serve() as hub:
        hub.add(MODEL.name, FILES)
        yield hub


@pytest.fixture
def environment(files: FileHub, tmp_path: Path) -> Mapping[str, str]:
    """That of a pod with an empty cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**kept, "HF_ENDPOINT": files.endpoint, "HF_HOME": str(tmp_path / "hf")}


def fetch(
    environment: Mapping[str, str], model: HubModel = MODEL, stop: StopRequest | None = None
) -> tuple[Path | None, list[str]]:
    """The directory, and the reported messages."""
    told: list[str] = []
    return fetch_from_hub(model, environment, stop or StopRequest(), told.append), told


def contents(folder: Path | None) -> dict[str, bytes]:
    assert folder is not None
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_download_from_a_slow_hub_finishes_and_reports_progress(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    files.pieces, files.pause_seconds = 20, 0.15

    folder, told = fetch(environment)

    assert contents(folder) == FILES
    assert len(set(told)) > 1
    assert all(it.startswith("downloading org/model: ") for it in told)
    assert told[-1].endswith(" of 3Mi")


def test_the_next_attempt_resumes_the_file_that_the_last_one_left_incomplete(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    files.pieces, files.stops_at["model.safetensors"] = 12, 2 * 1024 * 1024
    stop = StopRequest()
    threading.Thread(target=lambda: (files.stopped.wait(), stop.request()), daemon=True).start()
    with pytest.raises(Interrupted):
        fetch(environment, stop=stop)
    files.stops_at.clear()

    folder, _ = fetch(environment)

    assert contents(folder) == FILES
    first, second = files.gets("model.safetensors")
    assert first == "GET model.safetensors"
    assert int(second.rpartition(" ")[2]) >= 1024 * 1024


def test_cached_files_are_not_requested_again(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    fetch(environment)
    files.requests.clear()

    folder, _ = fetch(environment)

    assert contents(folder) == FILES
    assert not files.gets("model.safetensors")


def test_a_connection_that_breaks_repeatedly_only_repeats_the_missing_part(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    files.pieces, files.breaks["model.safetensors"] = 6, 2

    folder, _ = fetch(environment)

    assert contents(folder) == FILES
    assert len(files.gets("model.safetensors")) == 3


def test_a_file_that_arrives_damaged_is_fetched_again_and_never_used(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    files.damages["model.safetensors"] = 1

    folder, _ = fetch(environment)

    assert contents(folder) == FILES


def test_a_node_fetches_once_for_several_processes(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    files.pieces, files.pause_seconds = 4, 0.2

    with ThreadPoolExecutor(3) as executor:
        found = list(executor.map(lambda _: fetch(environment)[0], range(3)))

    assert [contents(folder) for folder in found] == [FILES] * 3
    assert len(files.gets("model.safetensors")) == 1


def test_a_template_is_fetched_without_its_models_weights(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    folder, _ = fetch(environment, HubModel(name=MODEL.name, with_weights=False))

    assert sorted(contents(folder)) == ["README.md", "config.json"]


def test_an_adapter_is_fetched_without_the_base_model_that_it_names(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    """The supervisor checks that name, and fetches the base model like any other."""
    adapter = {
        "adapter_config.json": b'{"base_model_name_or_path": "org/model"}',
        "adapter_model.safetensors": b"adapter",
    }
    files.add("org/adapter", adapter)

    folder, _ = fetch(environment, HubModel(name="org/adapter"))

    assert contents(folder) == adapter
    assert not files.gets("config.json")
    assert not Path(environment["HF_HOME"], "hub/models--org--model").exists()


@pytest.mark.parametrize(
    ("statuses", "reason", "category"),
    [
        ([401], "HubAccessDenied", Category.USER),
        ([403], "HubAccessDenied", Category.USER),
    ],
)
def test_a_model_that_the_hub_refuses_is_a_user_error(
    files: FileHub,
    environment: Mapping[str, str],
    statuses: list[int],
    reason: str,
    category: Category,
) -> None:
    files.statuses = statuses

    with pytest.raises(AttemptFailed) as caught:
        fetch(environment)

    assert (caught.value.failure.reason, caught.value.failure.category) == (reason, category)


def test_no_request_is_made_if_the_environment_is_offline(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    assert fetch({**environment, "HF_HUB_OFFLINE": "1"}) == (None, [])
    assert not files.requests


def test_an_unreachable_hub_is_harmless_if_the_model_is_cached(
    files: FileHub, environment: Mapping[str, str]
) -> None:
    fetch(environment)

    found, _ = fetch({**environment, "HF_ENDPOINT": "http://127.0.0.1:1"})

    assert found is None  # transformers finds it in the cache


def test_an_unreachable_hub_is_retried_and_then_an_infrastructure_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    monkeypatch.setattr(process, "_tell_every_second", lambda download: None)

    told = process.main("org/model", "main", with_weights=True)

    assert told["failure"]["reason"] == "HubUnreachable"
    assert len(pauses) == download.TRIES - 1


def test_a_run_trains_a_model_of_a_slow_hub_and_its_ranks_make_no_hub_requests(
    tiny_model: Path,
    dialogues: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: FileHub,
    environment: Mapping[str, str],
) -> None:
    """No rank runs during a slow download, so none can look like a hanging one."""
    files.add("org/tiny", tiny_model)
    files.pieces, files.pause_seconds = 5, 0.2
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", environment["HF_HOME"])
    asked: list[int] = []
    launched: list[Mapping[str, str]] = []
    one_rank = in_process._one_rank_here

    def launch(launch: launching.Launch, stop: StopRequest) -> list[RankResult]:
        asked.append(len(files.requests))
        launched.append(launch.environment)
        return one_rank(launch, stop)

    monkeypatch.setattr(in_process, "_one_rank_here", launch)
    config: dict[str, Any] = {
        "model_name_or_path": "org/tiny",
        "env": {"HF_ENDPOINT": files.endpoint},  # The hub's address comes from the config.
    }

    trained = in_process.train(tmp_path, Path("org/tiny"), dialogues, **config)

    assert trained.outcome.failure is None, trained.words()
    assert files.gets("model.safetensors") == ["GET model.safetensors"]
    assert len(files.requests) == asked[0]
    assert launched[0]["HF_HUB_OFFLINE"] == "1"
    adapter = (trained.published / "adapter" / "adapter_config.json").read_text()
    assert '"base_model_name_or_path": "org/tiny"' in adapter


def test_adapter_and_base_model_of_the_hub_are_fetched_before_the_ranks_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: FileHub,
    environment: Mapping[str, str],
    tiny_model: Path,
    dialogues: Path,
) -> None:
    (tmp_path / "first").mkdir()
    first = in_process.train(tmp_path / "first", tiny_model, dialogues)
    adapter = contents(first.published / "adapter")
    options = json.loads(adapter["adapter_config.json"])
    options["base_model_name_or_path"] = "org/tiny"
    files.add("org/adapter", {**adapter, "adapter_config.json": json.dumps(options).encode()})
    files.add("org/tiny", contents(tiny_model))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", environment["HF_HOME"])
    config: dict[str, Any] = {
        "adapter_as_model": "continue",
        "lora_r": None,
        "env": {"HF_ENDPOINT": files.endpoint},
    }

    trained = in_process.train(tmp_path, Path("org/adapter"), dialogues, **config)

    assert trained.outcome.failure is None, trained.words()
    published = (trained.published / "adapter" / "adapter_config.json").read_text()
    assert '"base_model_name_or_path": "org/tiny"' in published
    card = (trained.published / "adapter" / "README.md").read_text()
    assert "base_model: org/tiny" in card
    assert "continued from the adapter `org/adapter` (sha256:" in card


def test_missing_data_are_reported_before_the_model_is_downloaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: FileHub,
    environment: Mapping[str, str],
) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HOME", "HF_ENDPOINT"):
        monkeypatch.setenv(name, environment[name])

    trained = in_process.train(tmp_path, Path("org/model"), tmp_path / "missing.jsonl")

    assert trained.words().startswith("DatasetNotFound")
    assert files.requests == []


def test_a_model_whose_parts_the_hub_did_not_send_is_checked_after_its_download(
    tiny_model: Path,
    dialogues: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: FileHub,
    environment: Mapping[str, str],
) -> None:
    files.add("org/tiny", tiny_model)
    weights = files.repositories["org/tiny"]["model.safetensors"]
    names = weights.replace(b'"model.layers.', b'"_orig_mod.rs.')
    files.repositories["org/tiny"] = {
        **files.repositories["org/tiny"],
        "model.safetensors": names,
    }
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HOME", "HF_ENDPOINT"):
        monkeypatch.setenv(name, environment[name])

    def look(*asked: Any) -> Any:
        raise HubSilent(str(asked[0]))

    monkeypatch.setattr(hub_model, "look_at_repository", look)

    trained = in_process.train(tmp_path, Path("org/tiny"), dialogues)

    assert trained.words().startswith("ModelDamaged")
    assert trained.outcome.failure is not None
    assert trained.outcome.failure.phase == "Checking"
    assert files.gets("model.safetensors") == ["GET model.safetensors"]
