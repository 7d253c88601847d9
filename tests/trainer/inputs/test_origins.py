# SPDX-License-Identifier: Apache-2.0
"""The inputs of a run: digests of local files, revisions of the hub's repositories."""

import hashlib
from pathlib import Path

import huggingface_hub.constants
import pytest

from finetune_spec.config import read_config
from finetune_trainer.inputs.origins import Origins, licence_of
from trainer.runs import a_folder

COMMIT = "c0ffee" * 6 + "beef"


def card(matter: str) -> dict[str, bytes]:
    return {"README.md": f"---\n{matter}\n---\n# A model\n".encode()}


def test_the_origin_of_local_data_is_the_digest_of_each_file(tmp_path: Path) -> None:
    model = a_folder(tmp_path / "model", {"config.json": b"{}", "deep/weights.safetensors": b"w"})
    rows = a_folder(tmp_path / "rows", {"train.jsonl": b"row"}) / "train.jsonl"
    config = read_config(
        {"model_name_or_path": "s3://models/tiny", "dataset_name": "./train.jsonl"}
    )

    found = Origins.of(config, {"s3://models/tiny": model, "./train.jsonl": rows}).digests()

    assert found == {
        "model": {
            "name": "s3://models/tiny",
            "files": {
                "config.json": hashlib.sha256(b"{}").hexdigest(),
                "deep/weights.safetensors": hashlib.sha256(b"w").hexdigest(),
            },
        },
        "data": [
            {
                "name": "./train.jsonl",
                "files": {"train.jsonl": hashlib.sha256(b"row").hexdigest()},
            }
        ],
    }


def test_a_mounted_configmap_lists_each_file_once(tmp_path: Path) -> None:
    mounted = a_folder(tmp_path / "rows", {"..2026_11_23/train.jsonl": b"row"})
    (mounted / "..data").symlink_to("..2026_11_23")
    (mounted / "train.jsonl").symlink_to("..data/train.jsonl")

    found = Origins.of(read_config({"dataset_name": "/rows"}), {"/rows": mounted}).digests()

    assert list(found["data"][0]["files"]) == ["train.jsonl"]


@pytest.mark.parametrize(
    ("revision", "found"),
    [
        pytest.param(None, COMMIT, id="its newest"),
        pytest.param(COMMIT, COMMIT, id="a commit"),
        pytest.param("v9", None, id="one that was never fetched"),
    ],
)
def test_the_origin_of_hub_files_has_commit_and_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None, found: str | None
) -> None:
    cache = a_folder(
        tmp_path / "models--org--base",
        {
            "refs/main": COMMIT.encode(),
            f"snapshots/{COMMIT}/README.md": card("license: mit")["README.md"],
        },
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache.parent))

    origins = Origins.of(
        read_config({"model_name_or_path": "org/base", "model_revision": revision}), {}
    )

    assert origins.digests()["model"] == {"name": "org/base", "revision": found}
    assert origins.licence() == (None if found is None else "mit")


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        pytest.param(card("license: apache-2.0"), "apache-2.0", id="named"),
        pytest.param(card("license: other\nlicense_name: llama3"), "llama3", id="of its own"),
        pytest.param(card("license: other"), "other", id="other"),
        pytest.param(card("tags: [x]"), None, id="not given"),
        pytest.param(card("license: [unfinished"), None, id="no YAML"),
        pytest.param(card("- a list"), None, id="no mapping"),
        pytest.param({"README.md": b"# A model"}, None, id="no front matter"),
        pytest.param({"README.md": b"\xff\xfe"}, None, id="no text"),
        pytest.param({"config.json": b"{}"}, None, id="no card"),
    ],
)
def test_the_licence_is_taken_from_the_card(
    tmp_path: Path, files: dict[str, bytes], licence: str | None
) -> None:
    assert licence_of(a_folder(tmp_path, files)) == licence
