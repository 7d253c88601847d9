# SPDX-License-Identifier: Apache-2.0
"""Failures between an attempt's start and the first step: places, names and steps."""

from types import SimpleNamespace

import pytest

from finetune_contract.outcome import Category
from finetune_contract.run import World
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage.store import open_store
from finetune_trainer.supervision import launching


def test_an_output_location_that_is_not_writable_is_reported() -> None:
    with pytest.raises(AttemptFailed) as caught:
        open_store("ftp://server/folder", {})

    assert caught.value.failure.reason == "InvalidUri"
    assert "ftp://server/folder" in caught.value.failure.message


def test_a_first_node_that_never_resolves_is_reported() -> None:
    world = World(nodes=2, processes_per_node=1, master_address="balloon-0.invalid")

    with pytest.raises(AttemptFailed, match=r"balloon-0\.invalid did not resolve") as caught:
        launching.wait_for_master(world, 0, StopRequest())

    assert caught.value.failure.reason == "MasterNotFound"
    assert caught.value.failure.category is Category.INFRASTRUCTURE


@pytest.mark.slow
def test_nodes_that_would_resume_from_different_steps_do_not_start(
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
        require_promised_world(
            SimpleNamespace(world_size=2), RankSettings(world_size=2, resume_step=8)
        )

    assert caught.value.failure.reason == "ResumeMismatch"


@pytest.mark.slow
def test_nodes_that_chose_different_micro_batches_do_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `auto` and different GPUs, the effective batch would change."""
    import torch.distributed as dist

    from finetune_trainer.ranks.world import require_promised_world

    def gather(found: list[int], mine: int) -> None:
        found[:] = [mine, {8: 4}.get(mine, mine)]

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", gather)
    training = SimpleNamespace(
        world_size=2, per_device_train_batch_size=8, gradient_accumulation_steps=3
    )

    with pytest.raises(AttemptFailed, match="micro-batches of 4 and 8 rows") as caught:
        require_promised_world(training, RankSettings(world_size=2))  # type: ignore[arg-type]

    assert caught.value.failure.reason == "DistributionMismatch"
    assert caught.value.failure.remedy == (
        "set per_device_train_batch_size to 4 and gradient_accumulation_steps to 6"
    )
