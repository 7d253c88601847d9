# SPDX-License-Identifier: Apache-2.0
"""However often and wherever a run is killed: its result is that of an undisturbed run."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pytest

from finetune_contract import mounts
from finetune_contract.outcome import ExitCode
from finetune_trainer.storage import transfer
from finetune_trainer.storage.store import open_store
from testbed import stock
from testbed.object_store import ObjectStore
from trainer.kills import (
    CONFIG,
    SHARES,
    Arena,
    Result,
    Tally,
    a_run,
    hunt,
    wait_for_phase,
    warm_environment,
)

pytestmark = [pytest.mark.slow, pytest.mark.storage]


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The undisturbed run."""

    arena: Arena
    store: ObjectStore
    result: Result
    seconds: float


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, sayings: Path
) -> Iterator[Whole]:
    place = tmp_path_factory.mktemp("kills")
    with (
        ObjectStore.start() as store,
        mock.patch.dict(os.environ, stock.environment(store)),
        warm_environment(place) as environment,
    ):
        for bucket in ("models", "datasets"):
            store.make_bucket(bucket)
        transfer.upload(open_store("s3://models", environment), tiny_model, "tiny")
        transfer.upload(open_store("s3://datasets", environment), sayings, "sayings")
        arena = Arena(place=place, environment=environment)
        began = time.monotonic()
        outcome = arena.carry_out(a_run(0), None, Tally())
        seconds = time.monotonic() - began
        assert outcome is not None
        assert outcome.failure is None, outcome
        yield Whole(arena=arena, store=store, result=arena.result(a_run(0)), seconds=seconds)


def run_and_compare(whole: Whole, *, kills: int, seed: int) -> Tally:
    tally = Tally()
    for run in hunt(whole.arena, kills, seed, whole.seconds, tally):
        result = whole.arena.result(run)
        assert result.step == whole.result.step == CONFIG["max_steps"]
        assert result.records == whole.result.records
        assert result.weights == whole.result.weights
    assert tally.kills.total() == kills
    return tally


@pytest.mark.timeout(300)
def test_a_run_killed_four_times_equals_an_undisturbed_one(whole: Whole) -> None:
    run_and_compare(whole, kills=4, seed=4)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_stop_is_handled_in_time_if_the_store_hangs_while_publishing(
    whole: Whole,
) -> None:
    grace_seconds = 10
    hurried = {**whole.arena.environment, mounts.ENV_GRACE_SECONDS: str(grace_seconds)}
    arena = replace(whole.arena, environment=hurried)
    # Without checkpoints there are no requests to the store between training and publishing.
    config = {**CONFIG, "save_strategy": "no", "save_steps": None}
    run = replace(a_run(1000), config={k: v for k, v in config.items() if v is not None})

    def deafen_and_stop(process: "subprocess.Popen[bytes]", place: Path, _: Tally) -> None:
        wait_for_phase(process, place, "Training")
        with whole.store.hanging():
            wait_for_phase(process, place, "Publishing")
            process.send_signal(signal.SIGTERM)
            process.wait(grace_seconds)

    stopped = arena.carry_out(run, deafen_and_stop, Tally())
    resumed = arena.carry_out(replace(run, attempt=2), None, Tally())

    assert stopped is not None
    assert stopped.exit_code is ExitCode.INTERRUPTED, stopped
    assert resumed is not None
    assert resumed.failure is None, resumed


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_run_killed_fifty_times_equals_an_undisturbed_one(whole: Whole) -> None:
    tally = run_and_compare(whole, kills=50, seed=50)

    print(tally, f"{whole.seconds:.1f} s for the attempt that nobody killed", sep="\n")
    assert tally.phases == set(SHARES)
