# SPDX-License-Identifier: Apache-2.0
"""Whose mistake an exception is."""

import pytest

from finetune_contract.outcome import Blame
from finetune_trainer.failures import Stage, classify, interruption, user_error


def an_error(name: str, text: str = "", base: type[Exception] = Exception) -> Exception:
    """An exception of a library's class, without the library."""
    kind: type[Exception] = type(name, (base,), {})
    return kind(text)


CASES = [
    (an_error("OutOfMemoryError", "CUDA out of memory", RuntimeError), Stage.TRAINING,
     Blame.OUT_OF_MEMORY, "OutOfMemory"),
    (an_error("OutOfMemoryError", "CUDA out of memory", RuntimeError), Stage.MODEL,
     Blame.OUT_OF_MEMORY, "OutOfMemory"),
    (RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"),
     Stage.TRAINING, Blame.INFRASTRUCTURE, "PeerLost"),
    (an_error("DistBackendError", "NCCL communicator was aborted"), Stage.TRAINING,
     Blame.INFRASTRUCTURE, "PeerLost"),
    (an_error("ConnectError", "no route", OSError), Stage.MODEL,
     Blame.INFRASTRUCTURE, "HubUnreachable"),
    (OSError("We couldn't connect to the hub to load the files"), Stage.MODEL,
     Blame.INFRASTRUCTURE, "HubUnreachable"),
    (an_error("GatedRepoError", "access is restricted", OSError), Stage.MODEL,
     Blame.USER, "HubAccessDenied"),
    (ValueError("--eval_steps required"), Stage.CONFIG, Blame.USER, "InvalidConfig"),
    (SystemExit(2), Stage.CONFIG, Blame.USER, "InvalidConfig"),
    (FileNotFoundError("no data files"), Stage.DATA, Blame.USER, "DatasetNotFound"),
    (an_error("DatasetGenerationError", "bad row"), Stage.DATA, Blame.USER, "InvalidDataset"),
    (OSError("folder does not appear to have a file named config.json"), Stage.MODEL,
     Blame.USER, "ModelNotFound"),
    (KeyError("messages"), Stage.MODEL, Blame.USER, "InvalidConfig"),
    (an_error("TemplateSyntaxError", "unexpected }", an_error("TemplateError").__class__),
     Stage.MODEL, Blame.USER, "InvalidConfig"),
    (ValueError("a shape is wrong"), Stage.TRAINING, Blame.INTERNAL, "Internal"),
    (RuntimeError("assertion of ours"), Stage.MODEL, Blame.INTERNAL, "Internal"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "stage", "blame", "reason"),
    [pytest.param(*case, id=f"{type(case[0]).__name__} while {case[1]}") for case in CASES],
)
def test_who_is_to_blame(error: Exception, stage: Stage, blame: Blame, reason: str) -> None:
    failure = classify(error, stage)

    assert (failure.blame, failure.reason) == (blame, reason)
    assert failure.remedy


def test_a_cause_counts_as_well_as_its_wrapper() -> None:
    wrapped = RuntimeError("could not load")
    wrapped.__cause__ = an_error("LocalEntryNotFoundError", "offline", OSError)

    assert classify(wrapped, Stage.DATA).reason == "HubUnreachable"


def test_a_failure_that_says_so_itself_stands() -> None:
    error = user_error("SplitNotFound", "there is no split", "choose another")

    assert classify(error, Stage.TRAINING) == error.failure


def test_a_message_is_one_sentence_that_tells_the_stage() -> None:
    failure = classify(KeyError("messages"), Stage.MODEL)

    assert failure.message == "while preparing model and data: there is no 'messages'"


def test_an_interruption_says_what_was_saved() -> None:
    assert "the checkpoint of step 8 is complete" in interruption(8, 8).message
    assert "no checkpoint" in interruption(3, 0).message
