# SPDX-License-Identifier: Apache-2.0
"""Two nodes like two pods: a supervisor and a work directory each, one output for both.

One run has three attempts: in the first only the second node is stopped, in the second that node is
lost, the third finishes.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from finetune_contract import layout, mounts
from finetune_contract.outcome import Category, ExitCode, Outcome
from finetune_contract.progress import Progress
from finetune_contract.reasons import Reason
from finetune_contract.run import Run, World
from finetune_trainer.exchange.workspace import Workspace
from trainer import in_process
from trainer.attempt.test_training import free_port, outcome_of, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = 150
CONFIG = {
    "max_steps": STEPS,
    "learning_rate": 1e-3,
    "lora_dropout": 0.0,
    # Their threads would compete with each other's.
    "env": {"OMP_NUM_THREADS": "1"},
}
LONGEST_SECONDS = 240
"""The maximum duration of an attempt on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Two running supervisors."""

    places: tuple[Path, ...]
    nodes: tuple["subprocess.Popen[bytes]", ...]

    def until(self, is_so: Callable[[Progress], bool]) -> None:
        """Waits until it is true on both nodes."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not all(is_so(_progress(place)) for place in self.places):
            assert all(node.poll() is None for node in self.nodes), "a supervisor ended too early"
            assert time.monotonic() < deadline, "the nodes do not come that far"
            threading.Event().wait(0.05)

    def end(self) -> list[int]:
        """Waits for both; returns their exit codes."""
        return [node.wait(LONGEST_SECONDS) for node in self.nodes]

    def outcomes(self) -> list[Outcome]:
        return [outcome_of(place) for place in self.places]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The results of the three attempts."""

    run: Run
    published: Path
    stopped: list[Outcome]
    stop_codes: list[int]
    checkpoint: frozenset[str]
    """The files of the first attempt's checkpoint."""
    left_alone: Outcome
    """The first node's outcome of an attempt in which the second was lost."""
    left_alone_code: int
    finished: list[Outcome]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dialogues: Path) -> Story:
    place = tmp_path_factory.mktemp("two")
    run = in_process.a_run(place, tiny_model, dialogues, **CONFIG, per_device_train_batch_size=1)
    published = place / "out" / run.run_id

    first = begin(run, place, attempt=1)
    first.until(lambda progress: (progress.step or 0) >= 1)
    first.nodes[1].send_signal(signal.SIGTERM)
    stop_codes = first.end()
    checkpoint = frozenset(
        str(path.relative_to(published)) for path in published.rglob("checkpoints/**/*")
    )

    second = begin(run, place, attempt=2)
    second.until(lambda progress: (progress.step or 0) > first.outcomes()[0].step)
    second.nodes[1].kill()
    left_alone_code, _ = second.end()

    third = begin(run, place, attempt=3)
    third.end()
    return Story(
        run=run,
        published=published,
        stopped=first.outcomes(),
        stop_codes=stop_codes,
        checkpoint=checkpoint,
        left_alone=outcome_of(second.places[0]),
        left_alone_code=left_alone_code,
        finished=third.outcomes(),
    )


def begin(run: Run, place: Path, *, attempt: int) -> Attempt:
    world = World(nodes=2, master_port=free_port())
    places = tuple(place / f"attempt-{attempt}-node-{node}" for node in range(2))
    nodes = []
    for node, folder in enumerate(places):
        folder.mkdir()
        index = {mounts.ENV_NODE_RANK: str(node)}
        nodes.append(start(replace(run, attempt=attempt, world=world), folder, **index))
    return Attempt(places=places, nodes=tuple(nodes))


def _progress(place: Path) -> Progress:
    try:
        return Progress.from_body(Workspace(root=place / "work").progress.read_bytes())
    except FileNotFoundError:
        return Progress()


def test_a_stop_of_one_node_ends_both_at_the_same_step(story: Story) -> None:
    one, other = story.stopped

    assert story.stop_codes == [ExitCode.INTERRUPTED] * 2
    assert [outcome.failure and outcome.failure.reason for outcome in story.stopped] == [
        "Interrupted"
    ] * 2
    assert 0 < one.step < STEPS
    assert one.step == other.step == one.checkpoint_step == other.checkpoint_step


def test_the_checkpoint_of_a_stop_contains_the_parts_of_both_nodes(story: Story) -> None:
    prefix = layout.checkpoint_prefix(story.stopped[0].step)

    assert {
        f"{prefix}/{layout.MANIFEST}",
        f"{prefix}/attempt-1/adapter_model.safetensors",
        f"{prefix}/attempt-1/rng_state_0.pth",
        f"{prefix}/attempt-1/node-1/rng_state_1.pth",
    } <= story.checkpoint


def test_a_node_that_loses_the_other_ends_and_names_its_location(story: Story) -> None:
    outcome = story.left_alone

    assert story.left_alone_code == ExitCode.INFRASTRUCTURE
    assert outcome.failure is not None
    assert (outcome.failure.category, outcome.failure.reason) == (
        Category.INFRASTRUCTURE,
        Reason.PEER_LOST,
    )
    assert "the connection to another rank, at 127.0.0.1, was lost" in outcome.failure.message
    assert outcome.resumed_from_step == story.stopped[0].step


def test_both_nodes_resume_from_the_step_of_the_stop(story: Story) -> None:
    for outcome in story.finished:
        assert outcome.failure is None
        assert outcome.step == outcome.total_steps == STEPS
        assert outcome.world_size == 2
    assert story.finished[0].resumed_from_step == story.stopped[0].step


def test_two_nodes_publish_one_artifact_and_one_manifest(story: Story) -> None:
    found = {path.name for path in story.published.iterdir()}
    adapters = list(story.published.glob("adapter/**/adapter_model.safetensors"))
    pointer = json.loads((story.published.parent / layout.LATEST).read_text())

    assert found == {layout.ADAPTER, layout.REPORT, layout.CHECKPOINTS, layout.MANIFEST}
    assert len(adapters) == 1
    assert pointer["runId"] == story.run.run_id
    assert story.finished[0].adapter_verified


@pytest.mark.long
def test_two_nodes_give_the_losses_of_one_process_with_twice_the_batch(
    story: Story, tiny_model: Path, dialogues: Path, tmp_path: Path
) -> None:
    alone = in_process.train(tmp_path, tiny_model, dialogues, **CONFIG)
    lines = (story.published / layout.REPORT / "metrics.jsonl").read_text().splitlines()
    together = [record["loss"] for line in lines if "loss" in (record := json.loads(line))]

    assert alone.outcome.failure is None
    assert len(together) == STEPS
    assert together == pytest.approx(alone.losses(), rel=1e-2)
