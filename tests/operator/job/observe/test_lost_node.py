# SPDX-License-Identifier: Apache-2.0
"""A node that does not respond is named, whatever is requested of the pods on it."""

from typing import Any

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.observe.observation import Observed
from support.factories import NOW, a_failure, a_job, an_attempt, seconds


def rule_on(attempt: Attempt, **seen: Any) -> Decision:
    silent = "node n is NotReady"
    observed = Observed(attempts=(attempt,), silent_nodes=silent, **seen)
    return decide(a_job(), observed, NOW + seconds(1000))


def test_pods_on_a_lost_node_are_waited_for_and_the_node_is_named() -> None:
    lost = an_attempt(1, Result.FAILED, failure=a_failure(Category.INFRASTRUCTURE))

    decision = rule_on(lost, lingering_pods=("old-pod",))

    assert (decision.reason, decision.attempt_to_start) == ("NodeNotReady", None)
    assert "node n is NotReady" in decision.message


def test_a_node_lost_while_its_pod_saves_is_named() -> None:
    stopping = an_attempt(1, is_stopping=True, failure=a_failure(Category.INTERRUPTION))

    decision = rule_on(stopping, is_going=True)

    assert "is saving a checkpoint and exiting" in decision.message
    assert "node n is NotReady" in decision.message
