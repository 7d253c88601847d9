# SPDX-License-Identifier: Apache-2.0
"""The trainer with a real object store."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finetune_contract.outcome import Category, Outcome
from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.checkpoints.checkpoints import Writer
from finetune_trainer.checkpoints.upload import CheckpointUploader
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.fetching import fetch
from finetune_trainer.inputs.model_facts import find_facts
from finetune_trainer.storage import cloud, transfer
from finetune_trainer.storage.store import Store, open_store
from testbed import stock
from testbed.object_store import ObjectStore
from trainer.publication.test_ownership import claim, claim_together, require_one_owner
from trainer.publication.test_two_clusters import claim as claim_in_cluster
from trainer.publication.test_two_clusters import owner_of
from trainer.runs import a_folder, a_run

pytestmark = pytest.mark.storage

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with ObjectStore.start() as server:
        for bucket in ("models", "datasets"):
            server.make_bucket(bucket)
        yield server


@pytest.fixture(autouse=True)
def environment(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer takes its credentials from the environment, as in a pod."""
    for name, value in stock.environment(server).items():
        monkeypatch.setenv(name, value)


def at(uri: str) -> Store:
    return open_store(uri, os.environ)


def test_a_directory_is_uploaded_and_downloaded_byte_for_byte(tmp_path: Path) -> None:
    files = {"model.safetensors": os.urandom(20 * MEGABYTE), "a/b.json": b"{}", "empty": b""}
    folder = a_folder(tmp_path / "here", files)
    store = at("s3://models/round-trip")

    uploaded = transfer.upload(store, folder, "adapter")

    targets = {file.path: tmp_path / "there" / file.path for file in uploaded}
    digests = transfer.download(store, targets)
    assert {file.path: file.sha256 for file in uploaded} == digests
    assert {file.path: file.size for file in uploaded} == store.sizes("adapter")
    for name, body in files.items():
        assert (tmp_path / "there" / "adapter" / name).read_bytes() == body


def test_one_of_two_jobs_that_claim_a_location_at_the_same_time_gets_it() -> None:
    for number in range(20):
        require_one_owner(claim_together(at(f"s3://models/claimed-{number}")))


def test_a_location_can_be_taken_over_from_another_cluster() -> None:
    store = at("s3://models/taken-over")
    assert claim_in_cluster(store, cluster="51c0-theirs") is None
    assert claim_in_cluster(store, cluster="8f4e-ours") is not None

    assert claim_in_cluster(store, cluster="8f4e-ours", take_over_from="51c0-theirs") is None

    assert owner_of(store)["cluster"] == "8f4e-ours"
    assert claim_in_cluster(store, cluster="51c0-theirs") is not None


def test_a_location_in_a_store_without_conditional_writes_is_still_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    store = at("s3://models/claimed-without-conditions")

    assert [claim(store, "balloon"), claim(store, "balloon")] == [None, None]
    assert claim(store, "kite") is not None


def test_a_store_that_refuses_conditional_writes_is_written_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refusing(BaseHTTPRequestHandler):
        """Responds like some stores; SeaweedFS supports conditional writes."""

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            is_refused = "If-None-Match" in self.headers
            statuses.append(501 if is_refused else 200)
            self.send_response(statuses[-1])
            self.send_header("ETag", '"written"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    statuses: list[int] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as refusing:
        threading.Thread(target=refusing.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{refusing.server_port}")

        at("s3://models/claimed").create("owner.json", b"{}")
        refusing.shutdown()

    assert statuses == [501, 200]


def test_a_prefix_is_a_directory_and_not_the_start_of_a_name() -> None:
    at("s3://models").write("run/config.json", b"{}")
    at("s3://models").write("run-2/config.json", b"{}")

    assert set(at("s3://models/run").sizes()) == {"config.json"}


@pytest.mark.parametrize("action", ["sizes", "read", "write"])
def test_a_wrong_key_is_a_final_user_error(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    store = at("s3://models/balloon")
    actions = {
        "sizes": store.sizes,
        "read": lambda: store.read("x"),
        "write": lambda: store.write("x", b""),
    }
    tries: list[None] = []

    def attempt() -> object:
        tries.append(None)
        return actions[action]()

    with pytest.raises(AttemptFailed) as caught:
        transfer.retrying(attempt, "balloon")

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "AccessDenied")
    assert "signature" in failure.message
    assert "guessed" not in failure.message
    assert len(tries) == 1


SUPERVISOR = [sys.executable, "-m", "finetune_trainer.attempt.supervisor"]


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"]
)
def test_a_newline_after_a_secrets_value_is_ignored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"{os.environ[name]}\n")
    uri = f"s3://models/newline-{name.lower()}"
    run = a_run(output=uri, model_name_or_path="s3://models/nowhere")
    (tmp_path / "run.json").write_text(run.to_json())

    options = ["--run", "run.json", "--work", "work", "--termination-log", "outcome.json"]
    ended = subprocess.run([*SUPERVISOR, *options], cwd=tmp_path, capture_output=True, text=True)

    # It reached the model, through a store that refuses wrong keys.
    failure = Outcome.from_json((tmp_path / "outcome.json").read_text()).failure
    assert failure is not None
    assert failure.reason == "ModelNotFound", ended.stderr
    assert f"variable trimmed name={name}" in ended.stderr


@pytest.mark.parametrize("action", ["sizes", "write"])
def test_a_missing_bucket_is_named(action: str) -> None:
    store = at("s3://missing/balloon")

    with pytest.raises(AttemptFailed, match=r"no bucket s3://missing") as caught:
        store.sizes() if action == "sizes" else store.write("x", b"")

    assert caught.value.failure.reason == "BucketNotFound"


def test_an_unreachable_store_is_not_a_user_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(cloud, "RETRY", {**cloud.RETRY, "retry_timeout": timedelta(seconds=1)})

    with pytest.raises(AttemptFailed) as caught:
        at("s3://models/balloon").read("x")

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.INFRASTRUCTURE, "StoreUnreachable")


def fetch_data(name: str, tmp_path: Path) -> Path | None:
    return fetch("dataset_name", name, tmp_path / "data", os.environ, StopRequest())


def test_a_missing_dataset_names_the_nearest_one(tmp_path: Path) -> None:
    at("s3://datasets/windrose").write("train.jsonl", b"{}\n")

    with pytest.raises(AttemptFailed) as caught:
        fetch_data("s3://datasets/windrsoe", tmp_path)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "DatasetNotFound")
    assert "s3://datasets/windrsoe" in failure.message
    assert failure.remedy == "set dataset_name to s3://datasets/windrose"


def test_a_stop_aborts_a_transfer_without_waiting_for_it(tmp_path: Path) -> None:
    store = at("s3://models/stopped")
    transfer.upload(store, a_folder(tmp_path, {f"{n}": b"x" for n in range(50)}), "")
    stop = StopRequest()
    stop.request()

    with pytest.raises(Interrupted):
        transfer.download(store, {path: tmp_path / "x" / path for path in store.sizes()}, stop)


UPLOAD = """
import os, sys
from pathlib import Path
from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.storage.store import open_store

store = open_store("s3://models/killed", os.environ)
print("begin", flush=True)
writer = checkpoints.Writer(attempt=1, node=0, nodes=1)
checkpoints.write(store, Path(sys.argv[1]), 4, writer)
"""


@pytest.mark.parametrize("milliseconds", [0, 40, 80, 160, 320])
def test_a_kill_during_upload_leaves_a_complete_checkpoint_or_none(
    milliseconds: int, tmp_path: Path
) -> None:
    store = at("s3://models/killed")
    store.delete(list(store.sizes()))
    older = a_folder(tmp_path / "older", {"optimizer.pt": b"older"})
    checkpoints.write(store, older, 2, Writer(attempt=1, node=0, nodes=1))
    files = {f"shard-{n}": os.urandom(8 * MEGABYTE) for n in range(8)}
    folder = a_folder(tmp_path / "newer", files)

    process = subprocess.Popen([sys.executable, "-c", UPLOAD, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    checkpoint = checkpoints.fetch_newest(store, tmp_path / "resume", StopRequest())
    assert checkpoint is not None
    fetched = {path.name: path.read_bytes() for path in checkpoint.folder.iterdir()}
    assert fetched == (files if checkpoint.step == 4 else {"optimizer.pt": b"older"})


def test_a_checkpoint_waits_for_a_store_that_refuses_it(
    server: ObjectStore, tmp_path: Path
) -> None:
    workspace, failures, saved = Workspace(root=tmp_path), list[str](), list[int]()
    uploader = CheckpointUploader(
        at("s3://late/run"),
        workspace,
        Writer(attempt=1, node=0, nodes=1),
        keep=None,
        last_step=lambda: None,
        on_complete=saved.append,
        on_failure=lambda step, message: failures.append(message),
    )
    a_folder(workspace.saved_checkpoint(4), {"optimizer.pt": b"moments"})
    uploader.start()
    deadline = time.monotonic() + 30
    while not failures and time.monotonic() < deadline:
        time.sleep(0.05)
    assert failures == ["there is no bucket s3://late"]
    assert workspace.saved_steps() == [4]

    server.make_bucket("late")
    uploader.finish(with_last_step=False)

    assert saved == [4]
    fetched = checkpoints.fetch_newest(at("s3://late/run"), tmp_path / "there", StopRequest())
    assert fetched is not None
    assert (fetched.folder / "optimizer.pt").read_bytes() == b"moments"


def test_a_models_properties_are_read_with_two_small_requests() -> None:
    header = b'{"w": {"dtype": "F32", "shape": [7, 11], "data_offsets": [0, 308]}}'
    store = at("s3://models/tiny")
    store.write("config.json", b'{"hidden_size": 7}')
    store.write("model.safetensors", len(header).to_bytes(8, "little") + header + bytes(308))

    facts = find_facts(store.uri, "main", os.environ)

    assert facts.config == {"hidden_size": 7}
    assert facts.parameters == 77


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("s3://datasets/one/train.csv", "train.csv", id="a file, as that file"),
        pytest.param("s3://datasets/one", "", id="a folder"),
    ],
)
def test_fetched_data_keep_their_file_type(uri: str, expected: str, tmp_path: Path) -> None:
    at("s3://datasets/one").write("train.csv", b"text\nAt 7.\n")

    found = fetch("dataset_name", uri, tmp_path / "inputs", os.environ, StopRequest())

    assert found == tmp_path / "inputs" / expected
    assert (tmp_path / "inputs" / "train.csv").read_bytes() == b"text\nAt 7.\n"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param("s3://models/other/chat_template.jinja", "chat_template.jinja", id="a file"),
        pytest.param("s3://models/other", "", id="a tokenizer"),
    ],
)
def test_a_chat_template_is_fetched_without_the_weights_next_to_it(
    uri: str, expected: str, tmp_path: Path
) -> None:
    store = at("s3://models/other")
    store.write("chat_template.jinja", b"{{ messages }}")
    store.write("model.safetensors", bytes(64))

    found = fetch("chat_template_path", uri, tmp_path / "inputs", os.environ, StopRequest())

    assert found == tmp_path / "inputs" / expected
    assert [file.name for file in (tmp_path / "inputs").iterdir()] == ["chat_template.jinja"]
