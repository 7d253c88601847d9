# SPDX-License-Identifier: Apache-2.0
"""`docs/failures.md` has every reason that the trainer can give, its blame and a test of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune_contract.outcome import PEER_LOST, Blame
from finetune_contract.run import World
from finetune_trainer.exchange.orders import Orders
from finetune_trainer.failures.errors import INTERRUPTED, AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage.store import open_store
from finetune_trainer.supervision import launching

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "trainer-image" / "src" / "finetune_trainer"
TABLE = ROOT / "docs" / "failures.md"

MAKERS = {
    "user_error": Blame.USER,
    "user": Blame.USER,
    "infrastructure_error": Blame.INFRASTRUCTURE,
    "infrastructure": Blame.INFRASTRUCTURE,
    "platform_error": Blame.PLATFORM,
    "platform": Blame.PLATFORM,
    "internal_error": Blame.INTERNAL,
    "Failure": None,
}
"""What makes failures, and whom each blames; None where it is told."""

CONSTANTS = {"INTERRUPTED": INTERRUPTED, "PEER_LOST": PEER_LOST}
IN_VARIABLES = {("ModelNotFound", "User"), ("DatasetNotFound", "User")}
"""Reasons that are chosen before they are given."""


def reasons_in_code() -> set[tuple[str, str]]:
    """Every reason in the trainer's source, with its blame."""
    return IN_VARIABLES | {
        found for file in SOURCE.rglob("*.py") for found in _reasons(ast.parse(file.read_text()))
    }


def _reasons(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name not in MAKERS:
            continue
        told = {keyword.arg: keyword.value for keyword in node.keywords}
        reason = told.get("reason") or (node.args[0] if node.args else None)
        blame = MAKERS[name] or Blame[getattr(told["blame"], "attr", "USER")]
        for value in (reason.body, reason.orelse) if isinstance(reason, ast.IfExp) else (reason,):
            if isinstance(value, ast.Constant):
                yield str(value.value), blame.value
            elif isinstance(value, ast.Name) and value.id in CONSTANTS:
                yield CONSTANTS[value.id], blame.value


def rows_of_table() -> list[list[str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_the_reasons_of_the_code_and_no_others() -> None:
    told = {(cells[0].strip("`"), cells[1]) for cells in rows_of_table()}

    assert told == reasons_in_code()


def test_no_reason_stands_twice() -> None:
    reasons = [cells[0] for cells in rows_of_table()]

    assert len(reasons) == len(set(reasons))


@pytest.mark.parametrize("cells", rows_of_table(), ids=lambda cells: cells[0].strip("`"))
def test_every_reason_has_words_a_remedy_and_a_test_that_provokes_it(cells: list[str]) -> None:
    _, _, words, remedy, test = cells
    file, _, name = test.strip("`").partition("::")

    assert words
    assert remedy
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)


def test_a_place_that_cannot_be_written_is_told() -> None:
    with pytest.raises(AttemptFailed) as caught:
        open_store("ftp://server/folder", {})

    assert caught.value.failure.reason == "InvalidUri"
    assert "ftp://server/folder" in caught.value.failure.message


def test_a_first_node_that_has_no_name_yet_is_told_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launching, "NAME_TIMEOUT_SECONDS", 0)
    world = World(nodes=2, processes_per_node=1, master_address="balloon-0.invalid")

    with pytest.raises(AttemptFailed, match=r"balloon-0\.invalid did not resolve") as caught:
        launching.wait_for_master(world, StopRequest())

    assert caught.value.failure.reason == "MasterNotFound"
    assert caught.value.failure.blame is Blame.INFRASTRUCTURE


@pytest.mark.slow
def test_nodes_that_would_go_on_from_different_steps_do_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch.distributed as dist

    from finetune_trainer.ranks.world import require_promised_world

    def gather(steps: list[int], mine: int) -> None:
        steps[:] = [mine, 4]

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)

    with pytest.raises(AttemptFailed, match=r"different steps: \[4, 8\]") as caught:
        require_promised_world(SimpleNamespace(world_size=2), Orders(world_size=2, resume_step=8))

    assert caught.value.failure.reason == "ResumeMismatch"
