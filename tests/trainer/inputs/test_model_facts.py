# SPDX-License-Identifier: Apache-2.0
"""The facts of a model from its directory, without loading it."""

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import constants

from finetune_trainer.inputs.model_facts import ModelUnknown, find_facts, read_fetched_config

LLAMA: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 100,
    "tie_word_embeddings": True,
}
RESOLVE = "/{repo_id}/resolve/{revision}/{filename}"
MATRICES = 4 * 16 * 16 + 3 * 16 * 32
PARAMETERS = 100 * 16 + MATRICES + 3 * 16


def a_model(folder: Path, config: Mapping[str, Any] = LLAMA) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def a_header(file: Path, **tensors: tuple[str, list[int]]) -> None:
    described = {
        name.replace("__", "."): {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}
        for name, (dtype, shape) in tensors.items()
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **described}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"weights")


def with_length(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


def test_a_known_architecture_is_counted_by_its_config(tmp_path: Path) -> None:
    facts = find_facts(str(a_model(tmp_path)), "main", {})

    assert facts.parameters is None
    assert facts.architecture().parameters == PARAMETERS


def test_the_headers_of_all_files_are_summed(tmp_path: Path) -> None:
    a_header(a_model(tmp_path) / "model-1.safetensors", a=("F32", [10, 20]), b=("BF16", [5]))
    a_header(tmp_path / "model-2.safetensors", c=("F16", [3]))

    facts = find_facts(tmp_path.as_uri(), "main", {})

    assert facts.parameters == 208
    assert facts.architecture().parameters == 208


def test_a_head_tied_to_the_embedding_is_counted_once(tmp_path: Path) -> None:
    a_header(
        a_model(tmp_path) / "model.safetensors",
        model__embed_tokens__weight=("F32", [100, 16]),
        lm_head__weight=("F32", [100, 16]),
    )

    assert find_facts(str(tmp_path), "main", {}).parameters == 1600


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"\xff" * 8, id="a length beyond all bounds"),
        pytest.param(with_length(b"{{{"), id="no JSON"),
        pytest.param(with_length(b"[" * 100_000), id="100,000 lists"),
        pytest.param(with_length(b"[]"), id="a list"),
        pytest.param(with_length(b'{"a":1}'), id="a number for a tensor"),
        pytest.param(with_length(b'{"a":{"dtype":"F32"}}'), id="no shape"),
        pytest.param(with_length(b'{"a":{"dtype":"F32","shape":7}}'), id="a number for a shape"),
        pytest.param(with_length(b'{"a":{"dtype":"F32","shape":["x"]}}'), id="texts for a shape"),
        pytest.param(with_length(b'{"a":{"dtype":"F32","shape":[-4]}}'), id="less than nothing"),
        pytest.param(
            with_length(b'{"a":{"dtype":"F32","shape":[%s]}}' % b",".join([b"9" * 18] * 9_000)),
            id="9,000 dimensions",
        ),
        pytest.param(
            with_length(b'{"a":{"dtype":"F32","shape":[%d,%d]}}' % (2**61, 2**61)),
            id="more than all parameters of the world",
        ),
    ],
)
def test_with_a_broken_file_the_config_is_used_for_counting(tmp_path: Path, content: bytes) -> None:
    (a_model(tmp_path) / "model.safetensors").write_bytes(content)

    assert find_facts(str(tmp_path), "main", {}).architecture().parameters == PARAMETERS


def test_with_packed_weights_the_config_is_used_for_counting(tmp_path: Path) -> None:
    a_header(a_model(tmp_path) / "model.safetensors", a=("U8", [10, 20]))

    assert find_facts(str(tmp_path), "main", {}).parameters is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("/nowhere", "there is no directory /nowhere", id="no folder"),
        pytest.param("s3://models/tiny", "needs credentials", id="no credentials"),
        pytest.param("no such name", "cannot be read here", id="no name of the hub's"),
        pytest.param("acme/tiny", "cannot be read here", id="a hub that doesn't answer"),
    ],
)
def test_an_unreadable_model_is_unknown_with_a_reason(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:1{RESOLVE}")

    with pytest.raises(ModelUnknown, match=message):
        find_facts(name, "main", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "it is list, expected an object"),
        ("[" * 100_000, "it is n"),
        ('{"a":' * 9_000 + "1" + "}" * 9_000, "it is nested more than 32 deep"),
        ('{"a": 1' + "0" * 5_000 + "}", "it is not JSON"),
    ],
    ids=["a list", "100,000 lists", "9,000 mappings", "a number of 5,000 digits"],
)
def test_an_invalid_config_is_reported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(ModelUnknown, match=message):
        find_facts(str(tmp_path), "main", {})
    assert read_fetched_config("a", {"a": tmp_path}) is None


def test_a_config_without_sizes_is_reported(tmp_path: Path) -> None:
    facts = find_facts(str(a_model(tmp_path, {"model_type": "clip"})), "main", {})

    with pytest.raises(ModelUnknown, match=r"config.json has no hidden_size"):
        facts.architecture()


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """A hub with one model, and its requests."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(LLAMA).encode()
            self.send_response(200 if self.path.startswith("/acme/tiny/") else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_one_request_to_the_hub_is_sufficient(
    hub: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = hub
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{url}{RESOLVE}")

    facts = find_facts("hf://acme/tiny", "v2", {})

    assert facts.architecture().parameters == PARAMETERS
    assert asked == ["/acme/tiny/resolve/v2/config.json"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param('{"hidden_size": 8}', {"hidden_size": 8}, id="a model"),
        pytest.param("[]", None, id="no object"),
        pytest.param("{", None, id="no JSON"),
        pytest.param(None, None, id="no file"),
    ],
)
def test_the_config_of_a_fetched_model_is_read_if_present(
    tmp_path: Path, content: str | None, expected: Mapping[str, Any] | None
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    assert read_fetched_config("s3://models/x", {"s3://models/x": tmp_path}) == expected
    assert read_fetched_config("some/model", {"s3://models/x": tmp_path}) is None
