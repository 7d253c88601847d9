# SPDX-License-Identifier: Apache-2.0
"""Random observations of a job, including impossible ones: `decide` must accept all of them.

Each strategy is built once: hypothesis takes longer to analyse a new one than to draw from it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st

from finetune_contract.outcome import Category, Failure, Outcome
from finetune_contract.progress import TrainerPhase
from finetune_contract.reasons import Reason
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.interruptions import Interruption
from finetune_operator.job.observe.observation import Held, Observed
from finetune_operator.job.observe.waiting import WaitsOn
from finetune_operator.job.resources import Resources
from finetune_operator.job.spec import FineTuneJob
from finetune_spec.config import read_config
from support.factories import CONFIG, NOW, a_good_outcome, a_job

BATCHES: tuple[Any, ...] = (1, 2, 3, 6, 8, "8", None, 0, -1, 2.5, "many", [])
"""Including configs that an older operator accepted."""

REASONS = (
    Reason.STORE_UNREACHABLE,
    Reason.SUSPENDED,
    Reason.SPEC_CHANGED,
    Reason.DEADLINE_EXCEEDED,
    Reason.PODS_NOT_STARTED,
    Reason.POD_REJECTED,
    Reason.INTERRUPTED_TOO_OFTEN,
)
"""One of the trainer's, and those for which the operator itself ends an attempt."""


@cache
def moments() -> st.SearchStrategy[datetime]:
    """Around now, whatever other clocks show: a status keeps full seconds."""
    return st.integers(-200_000, 200_000).map(lambda seconds: NOW + timedelta(seconds=seconds))


@cache
def durations() -> st.SearchStrategy[timedelta | None]:
    return st.none() | st.sampled_from([1, 60, 3600, 10**9]).map(lambda s: timedelta(seconds=s))


@cache
def configs() -> st.SearchStrategy[dict[str, Any]]:
    keys = {
        "per_device_train_batch_size": st.sampled_from(BATCHES),
        "per_device_eval_batch_size": st.sampled_from(BATCHES),
        "gradient_accumulation_steps": st.sampled_from(BATCHES),
        "gradient_checkpointing": st.booleans() | st.none(),
        "activation_checkpointing": st.booleans(),
    }
    return st.fixed_dictionaries({}, optional=keys).map(lambda given: {**CONFIG, **given})


@cache
def jobs() -> st.SearchStrategy[FineTuneJob]:
    """Accepted, unless rejected: an error by today's rules is no reason to stop."""
    wrong = {"mistakes": ("spec.podTemplate: no",)}
    mistakes = st.sampled_from([{}, wrong, {**wrong, "is_rejected": True}])
    return mistakes.flatmap(_jobs_with)


def _jobs_with(mistakes: dict[str, Any]) -> st.SearchStrategy[FineTuneJob]:
    return st.builds(
        replace,
        st.just(replace(a_job(), **mistakes)),
        config=configs().map(read_config),
        max_attempts=st.integers(1, 5),
        resources=st.builds(Resources, nodes=st.integers(1, 3), gpus_per_node=st.integers(0, 2)),
        is_suspended=st.booleans(),
        active_deadline=durations(),
        start_deadline=durations(),
    )


@cache
def failures() -> st.SearchStrategy[Failure]:
    return st.builds(
        Failure,
        category=st.sampled_from(Category),
        reason=st.sampled_from(REASONS),
        message=st.text(max_size=5),
        remedy=st.text(max_size=5),
        phase=st.sampled_from(["", *TrainerPhase]),
        rank=st.none() | st.integers(0, 7),
    )


@cache
def attempts(number: int, definitions: tuple[str, ...] = ("",)) -> st.SearchStrategy[Attempt]:
    steps = st.none() | st.integers(0, 1000)
    return st.builds(
        Attempt,
        number=st.just(number),
        name=st.just(f"balloon-{number}"),
        start=moments(),
        end=st.none() | moments(),
        result=st.sampled_from(Result),
        failure=st.none() | failures(),
        exit_code=st.none() | st.integers(0, 255),
        last_step=steps,
        resumed_from_step=steps,
        steps_lost=steps,
        definition=st.sampled_from(definitions),
        adjustments=st.dictionaries(
            st.sampled_from(["per_device_train_batch_size", "gradient_accumulation_steps"]),
            st.integers(1, 8),
        ),
        admitted=st.none() | moments(),
        interruptions=st.lists(interruptions(), max_size=2).map(tuple),
        is_stopping=st.booleans(),
    )


@cache
def interruptions() -> st.SearchStrategy[Interruption]:
    return st.builds(
        Interruption,
        time=moments(),
        reason=st.sampled_from(["Evicted", "PreemptionByScheduler", Reason.TRAINING_JOB_DELETED]),
        message=st.sampled_from(["", "exceeds its ephemeral storage", "node is low on memory"]),
        pod=st.sampled_from(["", "balloon-1-abcde"]),
        node=st.sampled_from(["", "gpu-1"]),
        start=st.none() | moments(),
        step=st.none() | st.integers(0, 3),
    )


@cache
@st.composite
def histories(draw: st.DrawFn, definitions: tuple[str, ...] = ("",)) -> tuple[Attempt, ...]:
    """In the order of their numbers, some of which may be missing: old ones are pruned."""
    numbers = sorted(draw(st.sets(st.integers(1, 9), max_size=5)))
    return tuple(draw(attempts(number, definitions)) for number in numbers)


@cache
def outcomes() -> st.SearchStrategy[Outcome]:
    return (
        st.just(a_good_outcome())
        | st.just(a_good_outcome(artifact=None, note="so so"))
        | (st.builds(Outcome, failure=failures(), step=st.integers(0, 9), total_steps=st.just(9)))
    )


@cache
@st.composite
def observations(draw: st.DrawFn) -> Observed:
    history = draw(histories())
    changed = draw(st.integers(0, len(history)))
    return Observed(
        attempts=history[changed:],
        earlier=history[:changed],
        started=draw(st.none() | moments()),
        outcome=draw(st.none() | outcomes()),
        trainer_phase=draw(st.none() | st.sampled_from(TrainerPhase)),
        is_suspended=draw(st.booleans()),
        is_going=draw(st.booleans()),
        waiting_since=draw(st.none() | moments()),
        started_pods=draw(st.integers(0, 4)),
        waiting_for=draw(st.sampled_from(["", "0/1 nodes are available"])),
        silent_nodes=draw(st.sampled_from(["", "node n is NotReady"])),
        companions=draw(
            st.sampled_from(["", "container proxy kept running after the trainer exited"])
        ),
        held=draw(st.none() | st.builds(Held, job_name=st.just("held-1"), since=moments())),
        waits_on=draw(st.sampled_from(WaitsOn)),
        standing=draw(st.sampled_from(["", "no pod was created"])),
        lingering_pods=draw(st.sampled_from([(), ("old-1-abcde",)])),
    )
