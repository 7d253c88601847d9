# SPDX-License-Identifier: Apache-2.0
"""Two processes train like one, with any strategy, and resume from each other's steps."""

from pathlib import Path
from typing import Any

import pytest

from support.long_form import keeping
from trainer.in_process import Trained
from trainer.lab import ADAPTER, STEPS, STOP, WHOLE, Lab
from trainer.two_ranks import TwoRanks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHARDED = {"fsdp": True, "fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"}}
SAVED = {"save_strategy": "steps", "save_steps": STOP}


@pytest.fixture(scope="module")
def alone(
    ranks: TwoRanks,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    dialogues: Path,
) -> dict[str, list[float]]:
    """Losses of one process, for the full model and for an adapter."""

    def losses(name: str, config: dict[str, Any]) -> list[float]:
        place = tmp_path_factory.mktemp(name)
        trained = Lab(ranks, place, tiny_model, dialogues).train(processes=1, **config)
        assert trained.outcome.failure is None, trained.outcome
        _require_all_moved(trained, name)
        return trained.losses()

    return {"whole": losses("whole", WHOLE), "adapter": losses("adapter", ADAPTER)}


@pytest.mark.parametrize(
    ("config", "what", "strategy"),
    keeping(
        (
            "FSDP2 in shards, adapter",
            "zero2, whole",
            "zero3, adapter",
        ),
        [
            pytest.param({**WHOLE, "accelerate_config": "ddp"}, "whole", "DDP", id="DDP, whole"),
            pytest.param(ADAPTER, "adapter", "DDP", id="DDP, adapter"),
            pytest.param(
                {**WHOLE, "accelerate_config": "fsdp2"}, "whole", "FSDP2", id="FSDP2, whole"
            ),
            pytest.param(
                {**ADAPTER, "accelerate_config": "fsdp2"}, "adapter", "FSDP2", id="FSDP2, adapter"
            ),
            pytest.param({**WHOLE, **SHARDED}, "whole", "FSDP2", id="FSDP2 in shards"),
            pytest.param({**ADAPTER, **SHARDED}, "adapter", "FSDP2", id="FSDP2 in shards, adapter"),
            *(
                pytest.param(
                    {**config, "accelerate_config": name}, what, zero, id=f"{name}, {what}"
                )
                for name, zero in (("zero2", "ZeRO-2"), ("zero3", "ZeRO-3"))
                for config, what in ((WHOLE, "whole"), (ADAPTER, "adapter"))
            ),
        ],
    ),
)
def test_two_processes_train_like_one_and_save_a_complete_artifact(
    lab: Lab, alone: dict[str, list[float]], config: dict[str, Any], what: str, strategy: str
) -> None:
    trained = lab.train(processes=2, **config, **SAVED)

    assert trained.outcome.failure is None, trained.outcome
    assert trained.outcome.world_size == 2
    assert trained.losses() == pytest.approx(alone[what], rel=1e-4)
    assert strategies(trained) == {strategy}
    _require_whole(trained, what)
    _require_all_moved(trained, what)


def _require_all_moved(trained: Trained, what: str) -> None:
    """Every trained weight is known to differ from the base model's."""
    fates = trained.fates()
    assert set(fates.values()) == {"moved"}
    if what == "whole":
        # Seven matrices and two norms in each of two layers; embedding, last norm and head.
        assert (sum(".layers." in name for name in fates), len(fates)) == (18, 21)
    else:
        # A and B on two projections in each of two layers.
        assert sum("lora_A" in name or "lora_B" in name for name in fates) == len(fates) == 8


def strategies(trained: Trained) -> set[str]:
    """The writers in its checkpoints' manifests, and the files that only one strategy has."""
    from finetune_trainer.storage.manifest import ArtifactManifest

    found = set()
    for manifest in trained.published.glob("checkpoints/*/manifest.json"):
        facts = ArtifactManifest.from_json(manifest.read_bytes()).facts
        assert facts["worldSize"] == 2
        assert facts["rowsPerStep"] == 2
        is_sharded = any(manifest.parent.rglob("pytorch_model_fsdp*"))
        assert is_sharded == (facts["strategy"] == "FSDP2")
        parts = len([*manifest.parent.rglob("*_optim_states.pt")])
        assert parts == (2 if facts["strategy"].startswith("ZeRO") else 0)
        found.add(facts["strategy"])
    return found


def _require_whole(trained: Trained, what: str) -> None:
    """Weights of every layer, with the same shapes as with one process."""
    from safetensors import safe_open

    kind = "model" if what == "whole" else "adapter_model"
    folder = trained.published / ("model" if what == "whole" else "adapter")
    with safe_open(folder / f"{kind}.safetensors", "pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    assert {name.split(".layers.")[1][0] for name in shapes if ".layers." in name} == {"0", "1"}
    if what == "whole":
        assert shapes["model.layers.0.mlp.down_proj.weight"] == [16, 32]


@pytest.mark.parametrize(
    ("config", "what", "first", "then"),
    keeping(
        ("FSDP2, 1 to 2",),
        [
            pytest.param(config, what, first, then, id=f"{name}, {first} to {then}")
            for first, then in ((2, 1), (1, 2), (2, 2))
            for name, config, what in (
                ("DDP", WHOLE, "whole"),
                ("FSDP2", {**WHOLE, "accelerate_config": "fsdp2"}, "whole"),
                ("FSDP2 in shards, adapter", {**ADAPTER, **SHARDED}, "adapter"),
            )
        ],
    ),
)
def test_a_run_resumed_with_another_world_size_equals_an_uninterrupted_one(
    lab: Lab,
    alone: dict[str, list[float]],
    config: dict[str, Any],
    what: str,
    first: int,
    then: int,
) -> None:
    batch = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2 // first}
    begun = lab.train(processes=first, **config, **SAVED, **batch)
    lab.forget_the_end(begun)

    resumed = lab.train(processes=then, attempt=2, **config, **SAVED, **batch)

    assert resumed.outcome.failure is None, resumed.outcome
    assert resumed.outcome.resumed_from_step == STOP
    assert resumed.outcome.step == resumed.outcome.total_steps == STEPS
    assert resumed.losses() == pytest.approx(alone[what], rel=1e-4)
    _require_all_moved(resumed, what)


@pytest.mark.parametrize(
    ("config", "what"),
    keeping(
        ("ZeRO-3, adapter",),
        [
            pytest.param({**WHOLE, "accelerate_config": "zero2"}, "whole", id="ZeRO-2"),
            pytest.param({**WHOLE, "accelerate_config": "zero3"}, "whole", id="ZeRO-3"),
            pytest.param(
                {**ADAPTER, "accelerate_config": "zero3"}, "adapter", id="ZeRO-3, adapter"
            ),
        ],
    ),
)
def test_a_zero_run_resumed_from_its_parts_equals_an_uninterrupted_one(
    lab: Lab, alone: dict[str, list[float]], config: dict[str, Any], what: str
) -> None:
    lab.forget_the_end(lab.train(processes=2, **config, **SAVED))

    resumed = lab.train(processes=2, attempt=2, **config, **SAVED)

    assert resumed.outcome.failure is None, resumed.outcome
    assert resumed.outcome.resumed_from_step == STOP
    assert resumed.outcome.step == resumed.outcome.total_steps == STEPS
    assert resumed.losses() == pytest.approx(alone[what], rel=1e-4)
    _require_all_moved(resumed, what)


@pytest.mark.parametrize("profile", ["fsdp2", "zero3"])
@pytest.mark.long
def test_a_sharded_run_stopped_after_its_last_step_trains_no_further_step(
    lab: Lab, profile: str
) -> None:
    config = {**WHOLE, "accelerate_config": profile, "save_strategy": "steps", "save_steps": STEPS}
    trained = lab.train(processes=2, **config)
    published = weights(trained)
    lab.forget_the_end(trained, at=STEPS)

    resumed = lab.train(processes=2, attempt=2, **config)

    assert resumed.outcome.failure is None, resumed.outcome
    assert resumed.outcome.resumed_from_step == STEPS
    assert resumed.outcome.step == resumed.outcome.total_steps == STEPS
    assert weights(resumed) == published
    _require_all_moved(resumed, "whole")


def weights(trained: Trained) -> bytes:
    return (trained.published / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("profile", ["fsdp2", "zero2", "zero3"])
@pytest.mark.long
def test_a_sharded_run_is_evaluated_and_publishes_its_best_checkpoint(
    lab: Lab, profile: str
) -> None:
    config = {
        **WHOLE,
        "accelerate_config": profile,
        "eval_strategy": "steps",
        "eval_steps": 1,
        # So little that the last step is still as good as the base model, within the tolerance.
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
    }
    # The best is the first here, because the highest loss is selected.
    best = {
        "load_best_model_at_end": True,
        "greater_is_better": True,
        "save_strategy": "steps",
        "save_steps": 1,
        "metric_for_best_model": "eval_loss",
    }

    trained = lab.train(processes=2, **config, **best)

    assert trained.outcome.failure is None, trained.outcome
    losses = {it["step"]: it["eval_loss"] for it in trained.records() if "eval_loss" in it}
    assert max(range(1, STEPS + 1), key=losses.__getitem__) == 1
    assert trained.outcome.figures is not None
    assert trained.outcome.figures["eval_loss"] == pytest.approx(losses[1])
    after_one_step = lab.beside("one").train(processes=2, **{**config, "max_steps": 1})
    after_all = lab.beside("all").train(processes=2, **config)
    assert are_close(trained, after_one_step)
    assert not are_close(trained, after_all)


def are_close(one: Trained, other: Trained) -> bool:
    """The weights that they published."""
    import torch
    from safetensors.torch import load

    mine, theirs = load(weights(one)), load(weights(other))
    return all(torch.allclose(mine[name], theirs[name], atol=1e-6) for name in mine)


@pytest.mark.parametrize(
    ("env", "found"),
    keeping(
        ("FSDP2 by variable",),
        [
            pytest.param({"ACCELERATE_USE_FSDP": "true"}, "FSDP1", id="FSDP by variable"),
            pytest.param(
                {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"},
                "FSDP2",
                id="FSDP2 by variable",
            ),
        ],
    ),
)
def test_an_unplanned_strategy_ends_the_run_before_the_model_is_loaded(
    lab: Lab, env: dict[str, str], found: str
) -> None:
    trained = lab.train(processes=2, **WHOLE, env=env)

    assert trained.words() == (
        f"DistributionMismatch: DDP was planned, but rank 0 would train with {found} | remove "
        "ACCELERATE_ and FSDP_ variables from config.env and the pod, and set accelerate_config "
        "instead"
    )


def test_settings_that_accelerate_silently_ignores_end_the_run_before_its_first_step() -> None:
    from types import SimpleNamespace

    from accelerate.utils import DistributedType

    from finetune_trainer.exchange.rank_settings import RankSettings
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.world import require_planned_sharding

    state = SimpleNamespace(distributed_type=DistributedType.MULTI_CPU)
    trainer = SimpleNamespace(accelerator=SimpleNamespace(state=state))

    with pytest.raises(AttemptFailed) as refused:
        require_planned_sharding(trainer, RankSettings(world_size=2, strategy="FSDP2"))

    assert "accelerate has set up MULTI_CPU" in refused.value.failure.message


@pytest.mark.parametrize("name", ["fsdp1", "fsdp2", "multi_gpu", "zero1", "zero2", "zero3"])
def test_trls_profiles_shard_like_ours_of_the_same_name(name: str) -> None:
    from importlib import resources

    import yaml

    from finetune_spec.config import read_config
    from finetune_spec.memory.sharding import find_sharding
    from support.config_verdicts import refusals

    file = resources.files("trl.accelerate_configs").joinpath(f"{name}.yaml")
    theirs, ours = (
        {"accelerate_config": profile} for profile in (yaml.safe_load(file.read_text()), name)
    )

    assert refusals(theirs, nodes=1, processes_per_node=8, gpus_per_node=8) == []
    found, expected = (find_sharding(read_config(one), 8) for one in (theirs, ours))
    assert found == expected


def test_accelerate_reads_our_profiles_and_supports_no_key_unknown_to_us() -> None:
    from dataclasses import fields

    from accelerate.commands.config.config_args import ClusterConfig

    from finetune_spec.config.parse.launch.options import KEYS
    from repository import launch_profiles

    for file in launch_profiles.contents():
        read = ClusterConfig.from_yaml_file(str(file))
        assert read.distributed_type.value in {"MULTI_GPU", "FSDP", "DEEPSPEED"}
    assert {field.name for field in fields(ClusterConfig)} <= set(KEYS)
