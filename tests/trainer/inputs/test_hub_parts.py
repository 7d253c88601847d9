# SPDX-License-Identifier: Apache-2.0
"""A model of the hub is checked from parts of its files, before gigabytes are downloaded.

The hub is a stub on 127.0.0.1: it shows what we send and how we read responses, not what the real
hub sends.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from finetune_spec.base_model.files import find_damage
from finetune_trainer.inputs import hub_model
from finetune_trainer.inputs.hub import bounded, repository
from finetune_trainer.inputs.model_facts import ModelUnknown, SeenModel, look_at_model
from support.model_folders import LLAMA, POINTER, a_model, tensors_of, write_index, write_weights
from trainer.hub_files import COMMIT, FileHub, serve_to_an_empty_cache

NAME = "acme/tiny"
TOKEN = "hf_0123456789abcdefghij"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHub]:
    with serve_to_an_empty_cache(tmp_path / "cache", monkeypatch) as stub:
        yield stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_model(tmp_path / "model")


def look(hub: FileHub, folder: Path | None = None, **variables: str) -> SeenModel:
    """The model, after the directory was put on the hub."""
    if folder is not None:
        hub.add(NAME, folder)
    return look_at_model(NAME, "main", {"HF_ENDPOINT": hub.endpoint, **variables})


def shards(folder: Path, *names: str, there: int | None = None) -> None:
    tensors = [*tensors_of().items()]
    (folder / "model.safetensors").unlink()
    for place, name in enumerate(names[:there]):
        write_weights(folder / name, dict(tensors[place :: len(names)]))
    write_index(folder, {key: names[n % len(names)] for n, (key, _) in enumerate(tensors)})


TWO = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def test_parts_of_a_models_files_show_the_same_as_the_directory(hub: FileHub, folder: Path) -> None:
    assert look(hub, folder) == look_at_model(str(folder), "main", {})


def test_a_model_in_several_files_shows_the_same_as_its_directory(
    hub: FileHub, folder: Path
) -> None:
    shards(folder, *TWO)
    (folder / "original").mkdir()
    (folder / "original" / "consolidated.00.pth").write_bytes(b"PK")

    found = look(hub, folder)

    assert found == look_at_model(str(folder), "main", {})
    assert found.files is not None
    assert len(found.files.shapes) == len(tensors_of())


def test_weights_are_not_downloaded_to_be_checked(hub: FileHub, folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.truncate(10 * 1024**2)

    look(hub, folder)

    assert hub.gets("model.safetensors") == []
    assert hub.parts("model.safetensors") == ["GET model.safetensors bytes 0-65535"]


def test_of_a_longer_header_only_the_rest_is_requested(hub: FileHub, folder: Path) -> None:
    many = {f"mtp.layers.{number}.weight": (1, 1) for number in range(2_000)}
    write_weights(folder / "model.safetensors", {**tensors_of(), **many})
    length = int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")

    found = look(hub, folder)

    assert found == look_at_model(str(folder), "main", {})
    assert hub.parts("model.safetensors") == [
        "GET model.safetensors bytes 0-65535",
        f"GET model.safetensors bytes 65536-{length + 7}",
    ]


def only(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).write_bytes(b"GGUF")

    return change


def an_adapter(folder: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "acme/base"}')


def wrapped(folder: Path) -> None:
    names = {f"_orig_mod.{name}": shape for name, shape in tensors_of().items()}
    write_weights(folder / "model.safetensors", names)


def a_shard_missing(folder: Path) -> None:
    shards(folder, *TWO, there=1)


def an_embedding(folder: Path) -> None:
    tensors = {**tensors_of(), "model.embed_tokens.weight": (102, 16)}
    write_weights(folder / "model.safetensors", tensors)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_text(POINTER),
            "model.safetensors is a Git LFS pointer",
            id="a pointer was committed",
        ),
        pytest.param(only("tiny-Q4_K_M.gguf"), "are in GGUF", id="a repository of GGUF files"),
        pytest.param(an_adapter, 'an adapter of "acme/base"', id="an adapter"),
        pytest.param(a_shard_missing, "1 of the 2 files that model.s", id="a shard is missing"),
        pytest.param(wrapped, "contain _orig_mod", id="saved compiled"),
        pytest.param(an_embedding, "the model's embedding has 102 rows", id="another vocabulary"),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_bytes(b""),
            "model.safetensors is not a safetensors file",
            id="an empty file",
        ),
        pytest.param(
            lambda folder: write_weights(folder / "model.safetensors", tensors_of(), cut=100),
            "model.safetensors is cut short",
            id="an upload that was broken off",
        ),
    ],
)
def test_a_model_that_cannot_be_trained_is_known_before_its_download(
    hub: FileHub, folder: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(folder)

    seen = look(hub, folder)

    assert seen.files is not None
    damage = find_damage(seen.files, seen.config)
    assert damage is not None
    assert sentence in damage.message


def headed(length: int, header: bytes = b"") -> Callable[[Path], object]:
    content = length.to_bytes(8, "little") + header
    return lambda folder: (folder / "model.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(headed(2**63), id="a header of 2^63 bytes"),
        pytest.param(headed(100 * 1024**2, b"{}"), id="a header of 100 MiB"),
        pytest.param(headed(45_000, b'{"a":' * 9_000), id="9,000 mappings in each other"),
        pytest.param(headed(45_000, b"[" * 45_000), id="45,000 lists"),
        pytest.param(headed(2, b"\xff\xff"), id="no text"),
    ],
)
def test_a_hostile_header_is_a_damaged_file_and_costs_one_request(
    hub: FileHub, folder: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(folder)

    seen = look(hub, folder)

    assert seen.files is not None
    assert [*seen.files.broken] == ["model.safetensors"]
    assert len(hub.parts("model.safetensors")) == 1


def test_an_index_cannot_name_files_outside_the_model(hub: FileHub, folder: Path) -> None:
    shards(folder, *TWO)
    write_index(
        folder, {"a": "../../acme/other/model.safetensors", "b": "/etc/passwd", "c": TWO[0]}
    )

    seen = look(hub, folder)

    assert seen.files is not None
    assert [*seen.files.indexed] == [TWO[0]]
    assert not [it for it in hub.requests if "other" in it or "passwd" in it]


def test_of_weights_in_too_many_files_only_the_index_is_read(
    hub: FileHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MOST_READ_AHEAD", 3)
    shards(folder, *TWO)

    seen = look(hub, folder)

    assert seen.files is not None
    assert not seen.files.shapes
    assert not seen.files.modules
    assert {*seen.files.tensors} == {*tensors_of()}
    assert find_damage(seen.files, seen.config) is None
    assert not hub.parts(TWO[0])

    index = {f"_orig_mod.{name}": TWO[0] for name in tensors_of()}
    write_index(folder, {**index, "_orig_mod.other": TWO[1]})
    seen = look(hub, folder)

    assert seen.files is not None
    damage = find_damage(seen.files, seen.config)
    assert damage is not None
    assert "contain _orig_mod" in damage.message


def test_bytes_beyond_the_limit_are_not_read(
    hub: FileHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header of the allowed size, on a model whose limits are exhausted by it."""
    header = json.dumps({"__metadata__": {"a": "x" * 10**6}}).encode()
    headed(len(header), header)(folder)
    monkeypatch.setattr(
        hub_model,
        "open_repository",
        lambda *asked: limited(repository.open_repository(*asked), 300_000),
    )

    seen = look(hub, folder)

    assert seen.files is not None
    assert not seen.files.broken
    assert not seen.files.shapes


def limited(opened: repository.HubRepository, most_bytes: int) -> repository.HubRepository:
    opened.reader.bytes_left = most_bytes
    return opened


def test_a_hub_without_ranges_is_read_from_the_beginning(hub: FileHub, folder: Path) -> None:
    hub.ignores_ranges = True

    assert look(hub, folder) == look_at_model(str(folder), "main", {})


def test_a_hub_that_lists_no_files_still_gives_the_config(hub: FileHub, folder: Path) -> None:
    hub.add(NAME, folder)
    config = (folder / "config.json").read_bytes()
    # A repository in the stub that serves the file alone, as a mirror may do.
    hub.repositories = {NAME: {"config.json": config}}
    hub.lists_files = False

    seen = look(hub)

    assert seen.config == LLAMA
    assert seen.files is None


def test_a_response_that_is_broken_off_is_no_damage(hub: FileHub, folder: Path) -> None:
    hub.breaks["model.safetensors"] = 100

    seen = look(hub, folder)

    assert seen.config == LLAMA
    assert seen.files is None


def test_only_the_commit_that_was_listed_is_read(hub: FileHub, folder: Path) -> None:
    look(hub, folder)

    config, *files = hub.revisions
    assert (config, {*files}) == ("main", {COMMIT})


def test_without_a_response_to_the_first_request_no_other_is_made(
    hub: FileHub, folder: Path
) -> None:
    hub.statuses = [503, 503]

    with pytest.raises(ModelUnknown, match=r"cannot be read here: 503"):
        look(hub, folder)
    assert len(hub.requests) == 1


class Elsewhere:
    """Another server on 127.0.0.1, such as the one that the hub stores large files on."""

    def __init__(self, content: bytes) -> None:
        self.asked: list[Mapping[str, str]] = []
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                elsewhere.asked.append(dict(self.headers))
                first, last = self.headers["Range"].removeprefix("bytes=").split("-")
                part = content[int(first) : int(last) + 1]
                self.send_response(206)
                end = int(first) + len(part) - 1
                self.send_header("Content-Range", f"bytes {first}-{end}/{len(content)}")
                self.send_header("Content-Length", str(len(part)))
                self.end_headers()
                self.wfile.write(part)

            def log_message(self, format: str, *arguments: Any) -> None:
                del format, arguments

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/blob"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_token_is_not_sent_to_the_server_that_the_hub_redirects_to(
    hub: FileHub, folder: Path
) -> None:
    other = Elsewhere((folder / "model.safetensors").read_bytes())
    hub.redirects["model.safetensors"] = other.url
    try:
        seen = look(hub, folder, HF_TOKEN=TOKEN)
    finally:
        other.close()

    assert seen == look_at_model(str(folder), "main", {})
    assert set(hub.tokens) == {f"Bearer {TOKEN}"}
    assert other.asked
    assert not [it for it in other.asked if "Authorization" in it]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("file:///etc/passwd", id="a file of this machine"),
        pytest.param("ftp://127.0.0.1/x", id="another protocol"),
        pytest.param("http://127.0.0.1:1/x", id="nothing there"),
        pytest.param("/acme/tiny/resolve/main/model.safetensors", id="the same file for ever"),
        pytest.param("http://[", id="no address"),
    ],
)
def test_a_hostile_redirect_only_costs_the_files(hub: FileHub, folder: Path, address: str) -> None:
    hub.redirects["model.safetensors"] = address

    seen = look(hub, folder)

    assert seen.config == LLAMA
    assert seen.files is None
    assert len(hub.requests) < 20


def test_a_hub_that_sends_each_byte_just_in_time_is_abandoned(
    hub: FileHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "ALL_SECONDS", 0.5)
    monkeypatch.setattr(repository, "ALL_SECONDS", 0.5)
    hub.pieces, hub.pause_seconds = 10_000, 0.05
    hub.add(NAME, folder)

    with pytest.raises(bounded.HubSilent, match=r"no complete response within 0 s"):
        hub_model.look_at_repository(NAME, "main", {"HF_ENDPOINT": hub.endpoint})
