# SPDX-License-Identifier: Apache-2.0
"""Extras: with any result of them the artifact is complete, and missing ones are made without
training.

The process that merges is a fake here (`Merging`); `ranks/test_merging.py` has the real one.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_contract.notes import NoteReason, Severity
from finetune_contract.outcome import Category, Failure, Outcome
from finetune_contract.reasons import Reason
from finetune_trainer.attempt.extras import with_extras
from finetune_trainer.exchange.heartbeats import Hung
from finetune_trainer.failures.errors import AttemptFailed, Interrupted
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.publication import artifact
from finetune_trainer.publication.merged import begin
from finetune_trainer.supervision import launching
from finetune_trainer.supervision.context import AttemptContext
from trainer.extras import Job, Merging, failing
from trainer.hub_stub import TOKEN, HubStub

AGAIN = "; the same job, run again, does not train but only merges"


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    job = Job(tmp_path)
    yield job
    # After any test: the trained artifact is complete and unchanged.
    assert artifact.published_outcome(job.store, StopRequest()) == job.published


FAILURES = [
    pytest.param(
        failing(Reason.MERGE_DIFFERS, "it computes something else", "report this"),
        "not merged: it computes something else; report this",
        id="it computes something else",
    ),
    pytest.param(
        failing(Reason.INTERNAL, "KeyError: 'q_proj'"), "not merged: KeyError: 'q_proj'", id="a bug"
    ),
    pytest.param(
        failing(Reason.DISK_FULL, "no space left on device", "more room"),
        "not merged: no space left on device; more room",
        id="no room on the disk",
    ),
    pytest.param(
        Merging(ended=launching.Ended(exit_code=-9)),
        "not merged: merging was killed by a signal (SIGKILL), most likely because the node's "
        "memory ran out; raise spec.resources.memory",
        id="killed by the kernel",
    ),
    pytest.param(
        Merging(ended=launching.Ended(exit_code=1), is_silent=True),
        "not merged: merging ended with exit code 1 without a result",
        id="gone without a word",
    ),
    pytest.param(
        Merging(
            ended=launching.Ended(
                exit_code=-9, hung=Hung(rank=0, seconds=1800, doing="merging lm_head.weight")
            )
        ),
        "not merged: merging made no progress for 1800 s; it was merging lm_head.weight",
        id="hung",
    ),
]


@pytest.mark.parametrize(("merging", "message"), FAILURES)
def test_a_failed_merge_is_noted_and_the_run_succeeds(
    job: Job, merging: Merging, message: str
) -> None:
    outcome = job.carry_on(merging)

    assert outcome.failure is None
    assert outcome.artifact == job.published.artifact
    (note,) = outcome.notes
    assert (note.severity, note.reason) == (Severity.WARNING, NoteReason.EXTRA_MISSING)
    assert note.message.startswith(message)
    assert note.message.endswith(AGAIN)
    assert not job.is_merged


@pytest.mark.parametrize(("merging", "message"), FAILURES)
def test_running_the_same_job_again_only_merges(job: Job, merging: Merging, message: str) -> None:
    job.carry_on(merging)

    outcome = job.run_again(Merging())

    assert job.is_merged
    (note,) = outcome.notes
    assert (note.severity, note.reason) == (Severity.INFO, NoteReason.EXTRA_MADE)
    assert note.message.startswith(f"merged now, into {job.store.uri}/model")
    assert b"With the adapter merged into it" in job.store.read("model/README.md")


def test_the_remedy_is_shown_however_long_the_reason_is(job: Job) -> None:
    outcome = job.carry_on(failing(Reason.INTERNAL, "x" * 5000))

    (note,) = Outcome.from_json(outcome.to_json()).notes
    assert note.message.endswith(f"x…{AGAIN}")


def test_a_note_about_a_merge_contains_no_secret(job: Job) -> None:
    job.environment = {"API_KEY": "s3cret-of-a-pod"}

    outcome = job.carry_on(failing(Reason.INTERNAL, "no such model: s3cret-of-a-pod"))

    assert "s3cret" not in outcome.notes[0].message


def test_a_merged_model_is_not_merged_again(job: Job) -> None:
    merging = Merging()
    job.carry_on(merging)

    outcome = job.run_again(merging)

    assert len(merging.configs) == 1
    assert outcome.notes == ()


def test_a_deleted_merged_model_is_created_again_without_training(job: Job) -> None:
    job.carry_on(Merging())
    job.store.delete(["model/model.safetensors"])

    job.run_again(Merging())

    assert job.is_merged


@pytest.mark.parametrize("manifest", [b"{", b'{"version": 99}', b'{"version": 1, "files": []}'])
def test_an_invalid_manifest_of_a_merged_model_is_ignored(job: Job, manifest: bytes) -> None:
    job.store.write("merged.json", manifest)

    job.run_again(Merging())

    assert job.is_merged


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        pytest.param(
            Reason.HUB_UNREACHABLE.failure("no route to the hub"),
            Reason.HUB_UNREACHABLE,
            id="the base model's hub is away",
        ),
        pytest.param(
            Reason.STORE_BUSY.failure("503: slow down"), Reason.STORE_BUSY, id="a busy store"
        ),
    ],
)
def test_a_temporary_merge_failure_is_retried_by_an_attempt_that_only_merges(
    job: Job, failure: Failure, reason: Reason
) -> None:
    with pytest.raises(AttemptFailed, match="training is complete") as caught:
        job.carry_on(Merging(failure=failure))

    assert caught.value.failure.reason == reason
    assert caught.value.failure.category is Category.INFRASTRUCTURE
    assert job.published.artifact is not None
    assert job.published.artifact.uri in caught.value.failure.message

    job.run_again(Merging())
    assert job.is_merged


@pytest.mark.parametrize(
    ("reason", "category", "is_retried"),
    [
        (Reason.STORE_UNREACHABLE, None, True),
        (Reason.CREDENTIALS_EXPIRED, Category.USER, True),
        (Reason.ACCESS_DENIED, None, False),
        (Reason.STORE_FULL, None, False),
    ],
)
def test_a_store_that_refuses_the_merged_model_keeps_the_adapter(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    reason: Reason,
    category: Category | None,
    is_retried: bool,
) -> None:
    failure = reason.failure("the store says no", "wait", category=category)

    def refuse(*_: object) -> None:
        raise AttemptFailed(failure)

    with monkeypatch.context() as patch:
        patch.setattr("finetune_trainer.attempt.merging.publish_merged", refuse)
        if is_retried:
            with pytest.raises(AttemptFailed, match="training is complete") as caught:
                job.carry_on(Merging())
            assert caught.value.failure.category is Category.INFRASTRUCTURE
        else:
            assert job.carry_on(Merging()).notes[0].reason == NoteReason.EXTRA_MISSING
    assert not job.is_merged

    job.run_again(Merging())
    assert job.is_merged


def test_a_stop_aborts_a_merge_and_the_next_attempt_repeats_it(job: Job) -> None:
    stop = StopRequest()

    with pytest.raises(Interrupted):
        job.carry_on(Merging(also=stop.request, ended=launching.Ended(exit_code=-9)), stop)

    assert not job.is_merged
    job.run_again(Merging())
    assert job.is_merged


@pytest.mark.parametrize(
    "merging",
    [
        Merging(),
        failing(Reason.INTERNAL, "a bug"),
        Merging(ended=launching.Ended(exit_code=-9)),
        failing(Reason.STORE_BUSY, "503"),
    ],
    ids=["done", "failed", "killed", "to be tried again"],
)
def test_a_running_merge_is_marked_in_the_store(job: Job, merging: Merging) -> None:
    seen: list[list[str]] = []
    merging.also = lambda: seen.append(job.store.names())

    with suppress(AttemptFailed):
        job.carry_on(merging)

    assert ["merging.json" in names for names in seen] == [True]
    assert "merging.json" not in job.store.names()


def test_a_stop_removes_the_mark_of_a_running_merge(job: Job) -> None:
    stop = StopRequest()

    with pytest.raises(Interrupted):
        job.carry_on(Merging(also=stop.request, ended=launching.Ended(exit_code=-9)), stop)

    assert "merging.json" not in job.store.names()


def test_a_merge_that_killed_its_pod_is_reported_by_the_next_attempt(job: Job) -> None:
    """When the kernel kills all processes of a container, none of them can report it."""
    begin(job.store, 1, StopRequest())
    job.run, merging = replace(job.run, attempt=2), Merging()

    outcome = job.run_again(merging)

    assert merging.configs == []
    assert outcome.failure is None
    assert outcome.notes[0].message.startswith("not merged: attempt 1 was killed while merging")
    assert outcome.notes[0].message.endswith(f"raise spec.resources.memory{AGAIN}")


@pytest.mark.parametrize("note", [b'{"attempt": 1}', b'{"attempt": 3}', b"{", b'{"attempt": "x"}'])
def test_a_job_that_is_created_again_merges_even_if_an_earlier_one_was_killed(
    job: Job, note: bytes
) -> None:
    job.store.write("merging.json", note)

    job.run_again(Merging())

    assert job.is_merged


def test_a_changed_base_model_is_not_merged(job: Job) -> None:
    (job.base / "model.safetensors").write_bytes(b"another base")
    merging = Merging()

    outcome = job.run_again(merging)

    assert merging.configs == []
    assert outcome.notes[0].message == (
        f"not merged: model.safetensors of the base model has changed since the training{AGAIN}"
    )


def test_a_missing_base_model_is_noted_and_the_run_still_succeeds(job: Job) -> None:
    (job.base / "config.json").unlink()

    outcome = job.run_again(Merging())

    assert outcome.failure is None
    assert outcome.notes[0].reason == NoteReason.EXTRA_MISSING
    assert str(job.base) in outcome.notes[0].message


def test_a_hub_model_is_merged_at_the_revision_of_the_training(tmp_path: Path) -> None:
    job = Job(tmp_path, model_name_or_path="org/base")
    merging = Merging()

    job.run_again(merging)

    assert merging.configs[0]["model_name_or_path"] == "org/base"
    assert merging.configs[0]["model_revision"] == "c0ffee"


def test_merging_uses_a_single_process_after_any_kind_of_training(tmp_path: Path) -> None:
    job = Job(tmp_path, accelerate_config="zero3", attn_implementation="flash_attention_2")
    merging = Merging()

    job.carry_on(merging)

    (config,) = merging.configs
    assert config["use_cpu"] is True
    assert not {"deepspeed", "fsdp", "attn_implementation", "dataset_name"} & set(config)


@pytest.mark.parametrize("node", [0, 1])
def test_only_the_first_of_several_nodes_creates_extras(job: Job, node: int) -> None:
    merging = Merging()
    context: Any = mock.Mock(spec=AttemptContext, node=node)
    if node != 0:
        with mock.patch.object(launching, "run_alone", merging):
            assert with_extras(job.run, context, job.store, job.published) == job.published
    else:
        job.carry_on(merging)

    assert len(merging.configs) == (1 if node == 0 else 0)


@pytest.fixture
def pushed(tmp_path: Path, hub: HubStub) -> Job:
    """A job that also requests a push."""
    job = Job(tmp_path, push_to_hub=True)
    job.environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
    return job


def test_a_failed_push_does_not_prevent_the_merged_model(pushed: Job, hub: HubStub) -> None:
    pushed.environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "hf_revoked"}

    with pytest.raises(AttemptFailed, match="training is complete") as caught:
        pushed.carry_on(Merging())

    assert caught.value.failure.reason == Reason.HUB_TOKEN_INVALID
    assert caught.value.failure.category is Category.USER
    assert pushed.is_merged


def test_an_unexpected_error_of_a_push_does_not_prevent_the_merged_model(
    pushed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("finetune_trainer.attempt.extras.push_complete", fail)

    with pytest.raises(AttemptFailed, match="training is complete") as caught:
        pushed.carry_on(Merging())

    assert caught.value.failure.reason == Reason.INTERNAL
    assert pushed.is_merged


def test_a_failed_merge_does_not_prevent_the_push(pushed: Job, hub: HubStub) -> None:
    outcome = pushed.carry_on(failing(Reason.MERGE_DIFFERS, "it computes something else"))

    assert outcome.notes[0].reason == NoteReason.EXTRA_MISSING
    assert hub.files["main"]["a.safetensors"] == b"adapter"


def test_a_repeated_merge_pushes_nothing_again(pushed: Job, hub: HubStub) -> None:
    pushed.carry_on(failing(Reason.MERGE_DIFFERS, "it computes something else"))
    commits = hub.asked("/commit/")

    pushed.run_again(Merging())

    assert pushed.is_merged
    assert hub.asked("/commit/") == commits == 1
