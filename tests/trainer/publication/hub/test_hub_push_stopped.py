# SPDX-License-Identifier: Apache-2.0
"""A stop during a request to the hub, which may never respond."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_contract.outcome import ExitCode
from finetune_trainer.failures.errors import Interrupted
from finetune_trainer.failures.stopping import StopRequest
from trainer.hub_stub import HubStub
from trainer.in_process import a_run, carry_out_here
from trainer.publication.hub.test_hub_push import Complete, a_client, variables


def stopping_once_asked(hub: HubStub) -> StopRequest:
    """A stop that is requested when the hub receives a slow request."""
    stop = StopRequest()

    def wait() -> None:
        hub.asked_slowly.wait()
        stop.request()

    threading.Thread(target=wait, daemon=True).start()
    return stop


def test_a_stop_ends_the_retries(hub: HubStub, tmp_path: Path) -> None:
    hub.failures["commit"] = [500] * 99
    stop = StopRequest()
    stop.request()

    with pytest.raises(Interrupted):
        Complete(tmp_path).push(variables(hub), stop)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("repos/create", id="making the repository"),
        pytest.param("/blobs/", id="the weights"),
        pytest.param("/commit/", id="the commit"),
    ],
)
def test_a_stop_aborts_a_running_push(hub: HubStub, tmp_path: Path, part: str) -> None:
    complete = Complete(tmp_path)
    hub.slow = part
    stop = stopping_once_asked(hub)

    with pytest.raises(Interrupted):
        complete.push(variables(hub), stop)

    assert "hub.json" not in complete.store.names()
    assert hub.messages == []


def test_a_stop_does_not_wait_for_the_check_before_training(hub: HubStub) -> None:
    hub.slow = "whoami"
    stop = stopping_once_asked(hub)

    with pytest.raises(Interrupted):
        a_client(hub, stop).prepare()


@pytest.mark.slow
def test_a_stopped_push_is_an_interruption_and_is_repeated(
    online: HubStub, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    run = a_run(tmp_path, tiny_model, dialogues, push_to_hub=True)
    online.slow = "/commit/"
    stop = stopping_once_asked(online)

    stopped = carry_out_here(run, tmp_path, stop)

    assert stopped.outcome.exit_code is ExitCode.INTERRUPTED
    assert (stopped.published / "manifest.json").is_file()

    online.slow = ""
    again = carry_out_here(replace(run, attempt=2), tmp_path)

    assert again.outcome.failure is None
    assert not again.workspace.metrics.exists()
    assert "adapter_model.safetensors" in online.files["main"]
