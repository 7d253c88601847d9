# SPDX-License-Identifier: Apache-2.0
"""Ranks agree between two steps through gloo, whatever backend they train with.

There is no NCCL on a CPU. torch's `fake` backend replaces it here: it reports a reduction without
doing it, so no agreement is possible through it.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WAIT = 60.0


def in_ranks(folder: Path, backend: str, ask: Callable[[int], object], count: int = 2) -> list[str]:
    """The result of each of this many processes, by rank."""
    # Imported once, before the processes are forked.
    import torch.distributed as dist
    import torch.testing._internal.distributed.fake_pg  # noqa: F401 - registers the backend

    def work(rank: int) -> None:
        store = dist.FileStore(str(folder / "store"), count)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
        (folder / str(rank)).write_text(repr(ask(rank)))

    children = []
    for rank in range(count):
        if (child := os.fork()) == 0:
            code = 1
            try:
                work(rank)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * count
    return [(folder / str(rank)).read_text() for rank in range(count)]


def ask_twice(answers: Sequence[Sequence[bool]]) -> Callable[[int], object]:
    """Each rank gives its own answer, and then, over the same group, the same ones negated."""

    def ask(rank: int) -> object:
        from finetune_trainer.ranks.callbacks.side_group import SideGroup

        group = SideGroup()
        first = group.any_rank(*answers[rank], longest_wait=WAIT)
        return first, group.any_rank(*answers[rank][::-1], longest_wait=WAIT)

    return ask


@pytest.mark.parametrize("backend", ["fake", "gloo", "cpu:gloo,cuda:fake"])
def test_ranks_agree_while_the_training_communicates(tmp_path: Path, backend: str) -> None:
    told = in_ranks(tmp_path, backend, ask_twice([(False, False), (True, False)]))

    assert told == [repr(([True, False], [False, True]))] * 2


def test_the_training_group_itself_would_not_agree(tmp_path: Path) -> None:
    """This shows that the fake group is realistic: otherwise the test above would prove nothing."""

    def ask(rank: int) -> object:
        import torch
        import torch.distributed as dist

        told = torch.tensor([rank])
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return int(told)

    assert in_ranks(tmp_path, "fake", ask) == ["0", "1"]


def test_a_side_group_is_created_only_if_the_training_does_not_use_gloo(tmp_path: Path) -> None:
    def ask(rank: int) -> object:
        import torch.distributed as dist

        from finetune_trainer.ranks.callbacks.side_group import SideGroup

        group = SideGroup()
        group.any_rank(True, longest_wait=WAIT)
        return group._group is dist.group.WORLD

    (tmp_path / "gloo").mkdir()
    (tmp_path / "fake").mkdir()
    assert in_ranks(tmp_path / "gloo", "gloo", ask) == ["True", "True"]
    assert in_ranks(tmp_path / "fake", "fake", ask) == ["False", "False"]


def test_a_single_process_needs_no_agreement() -> None:
    from finetune_trainer.ranks.callbacks.side_group import SideGroup

    assert SideGroup().any_rank(True, False, longest_wait=WAIT) == [True, False]
