# SPDX-License-Identifier: Apache-2.0
"""The documents of supervisor and ranks for each other, for later attempts and for downloads."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.codec import document_of, read
from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import Category, Failure
from finetune_trainer.exchange.data_account import (
    DataAccount,
    Dropped,
    Lengths,
    Packing,
    SplitAccount,
)
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.plan.node.hardware import Driver, Gpu, Gpus
from finetune_trainer.publication.artifact import Pointer
from finetune_trainer.storage.manifest import ArtifactManifest, File, is_below

RANK_SETTINGS = RankSettings(world_size=4, strategy="FSDP2", gpus=4)
RANK_SETTINGS_TEXT = (
    '{"world_size": 4, "is_distributed": true, "resume_step": 0, "strategy": "FSDP2", "gpus": 4, '
    '"cpus": 1, "measures_base": false}'
)
RESULT = RankResult(
    rank=3,
    time=12.5,
    ending=RankEnding.FAILED,
    failure=Failure(category=Category.USER, reason="R", message="\u00e9", remedy="r", rank=1),
    step=4,
    total_steps=8,
    figures={"loss": 0.5, "tokens": 12},
)
RESULT_TEXT = (
    '{"rank": 3, "time": 12.5, "ending": "Failed", "failure": {"category": "User", "reason": "R", '
    '"message": "\\u00e9", "remedy": "r", "phase": "", "rank": 1}, "step": 4, "totalSteps": 8, '
    '"verified": false, "figures": {"loss": 0.5, "tokens": 12}, "note": ""}'
)
ACCOUNT = DataAccount(
    splits={
        "train": SplitAccount(
            rows=10,
            dropped={Dropped.EMPTY: 1},
            tokens_cut=3,
            lengths=Lengths(minimum=1, median=2, p95=3, maximum=4, edges=(0, 5), counts=(7,)),
            packing=Packing(packs=2, efficiency=0.95),
        )
    },
    warnings=("w",),
)
ACCOUNT_TEXT = """{
  "splits": {
    "train": {
      "rows": 10,
      "dropped": {
        "empty after tokenization": 1
      },
      "truncated": null,
      "answers_cut": null,
      "tokens_cut": 3,
      "tokens": null,
      "trained_tokens": null,
      "lengths": {
        "minimum": 1,
        "median": 2,
        "p95": 3,
        "maximum": 4,
        "edges": [
          0,
          5
        ],
        "counts": [
          7
        ]
      },
      "packing": {
        "packs": 2,
        "efficiency": 0.95
      },
      "note": ""
    }
  },
  "warnings": [
    "w"
  ]
}"""
MANIFEST = ArtifactManifest(
    files=(File(path="adapter/a", size=1, sha256="aa"), File(path="b", size=2, sha256="bb")),
    facts={"step": 4, "figures": {"loss": 0.5}, "list": [1, None]},
)
MANIFEST_TEXT = (
    '{"facts":{"figures":{"loss":0.5},"list":[1,null],"step":4},"files":[{"path":"adapter/a",'
    '"sha256":"aa","size":1},{"path":"b","sha256":"bb","size":2}],"version":1}'
)
POINTER = Pointer(run_id="0123456789", manifest="0123456789/manifest.json", digest="sha256:00")
POINTER_TEXT = (
    '{"runId": "0123456789", "manifest": "0123456789/manifest.json", "digest": "sha256:00"}'
)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param(RANK_SETTINGS.to_json(), RANK_SETTINGS_TEXT, id="rank settings"),
        pytest.param(replace(RESULT, signal=9).to_json(), RESULT_TEXT, id="rank result"),
        pytest.param(ACCOUNT.to_json(), ACCOUNT_TEXT, id="data account"),
        pytest.param(
            replace(MANIFEST, files=MANIFEST.files[::-1]).to_json(), MANIFEST_TEXT, id="manifest"
        ),
        pytest.param(json.dumps(document_of(POINTER)), POINTER_TEXT, id="latest.json"),
    ],
)
def test_documents_are_written_byte_for_byte_as_before(written: str, text: str) -> None:
    assert written == text


def test_documents_written_by_earlier_releases_are_read() -> None:
    assert RankSettings.from_json(RANK_SETTINGS_TEXT) == RANK_SETTINGS
    assert RankResult.from_json(RESULT_TEXT) == RESULT
    assert DataAccount.from_json(ACCOUNT_TEXT) == ACCOUNT
    assert ArtifactManifest.from_json(MANIFEST_TEXT) == MANIFEST
    assert read(Pointer, POINTER_TEXT, "latest.json") == POINTER


def test_a_counted_figure_stays_an_integer() -> None:
    assert type(RankResult.from_json(RESULT_TEXT).figures["tokens"]) is int


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"version": 2}', "manifest has version 2, expected 1"),
        ('{"version": 1, "files": [1]}', r"^files\[0\] is 1, expected an object$"),
        (
            '{"version": 1, "files": [{"path": "a", "sha256": "aa"}]}',
            r"^files\[0\]\.size is missing$",
        ),
    ],
)
def test_an_unreadable_manifest_names_the_path(text: str, sentence: str) -> None:
    with pytest.raises(InvalidDocument, match=sentence):
        ArtifactManifest.from_json(text)


def test_a_rank_with_an_unknown_ending_is_reported() -> None:
    with pytest.raises(InvalidDocument, match=r"^ending is 'Gone', expected one of Running, "):
        RankResult.from_json('{"rank": 0, "time": 0, "ending": "Gone"}')


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**62)
UNSURE = st.none() | COUNTS
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LENGTHS = st.builds(
    Lengths,
    minimum=COUNTS,
    median=COUNTS,
    p95=COUNTS,
    maximum=COUNTS,
    edges=st.lists(COUNTS, max_size=3).map(tuple),
    counts=st.lists(COUNTS, max_size=3).map(tuple),
)
SPLITS = st.builds(
    SplitAccount,
    rows=UNSURE,
    dropped=st.dictionaries(TEXTS, COUNTS, max_size=2),
    truncated=UNSURE,
    tokens_cut=UNSURE,
    tokens=UNSURE,
    trained_tokens=UNSURE,
    lengths=st.none() | LENGTHS,
    packing=st.none() | st.builds(Packing, packs=COUNTS, efficiency=NUMBERS),
    note=TEXTS,
)


@given(
    st.builds(
        RankSettings,
        world_size=COUNTS,
        is_distributed=st.booleans(),
        resume_step=COUNTS,
        strategy=TEXTS,
        gpus=COUNTS,
        measures_base=st.booleans(),
    )
)
def test_any_rank_settings_survive_a_round_trip(settings: RankSettings) -> None:
    assert RankSettings.from_json(settings.to_json()) == settings


@given(
    st.builds(
        RankResult,
        rank=COUNTS,
        time=NUMBERS,
        ending=st.sampled_from(RankEnding),
        failure=st.none()
        | st.builds(
            Failure,
            category=st.sampled_from(Category),
            reason=TEXTS,
            message=TEXTS,
            remedy=TEXTS,
            phase=TEXTS,
            rank=UNSURE,
        ),
        step=COUNTS,
        total_steps=COUNTS,
        verified=st.booleans(),
        figures=st.dictionaries(TEXTS, NUMBERS | COUNTS, max_size=3),
        note=TEXTS,
    )
)
def test_any_rank_result_survives_a_round_trip(result: RankResult) -> None:
    assert RankResult.from_json(result.to_json()) == result


@given(
    st.builds(
        DataAccount,
        splits=st.dictionaries(TEXTS, SPLITS, max_size=2),
        warnings=st.lists(TEXTS, max_size=2).map(tuple),
    )
)
def test_any_data_account_survives_a_round_trip(account: DataAccount) -> None:
    assert DataAccount.from_json(account.to_json()) == account


@given(
    st.builds(
        ArtifactManifest,
        files=st.lists(
            st.builds(File, path=st.text("ab/", min_size=1), size=COUNTS, sha256=TEXTS),
            max_size=3,
            unique_by=lambda file: file.path,
        ).map(lambda files: tuple(sorted(files, key=lambda file: file.path))),
        facts=st.dictionaries(TEXTS, st.none() | COUNTS | st.lists(TEXTS), max_size=3),
    )
)
def test_any_manifest_survives_a_round_trip(manifest: ArtifactManifest) -> None:
    files = tuple(file for file in manifest.files if is_below(file.path))
    manifest = replace(manifest, files=files)

    assert ArtifactManifest.from_json(manifest.to_json()) == manifest


@given(st.builds(Pointer, run_id=TEXTS, manifest=TEXTS, digest=TEXTS))
def test_any_pointer_survives_a_round_trip(pointer: Pointer) -> None:
    assert read(Pointer, json.dumps(document_of(pointer)), "latest.json") == pointer


@given(
    st.builds(
        Gpus,
        devices=st.lists(
            st.builds(Gpu, name=TEXTS, capability=st.tuples(COUNTS, COUNTS), memory_bytes=COUNTS),
            max_size=2,
        ).map(tuple),
        driver=st.none() | st.builds(Driver, cuda=COUNTS, version=TEXTS),
        trouble=TEXTS,
    )
)
def test_the_result_of_a_gpu_probe_survives_a_round_trip(gpus: Gpus) -> None:
    assert read(Gpus, json.dumps(document_of(gpus)), "GPU probe") == gpus
