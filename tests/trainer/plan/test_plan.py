# SPDX-License-Identifier: Apache-2.0
"""Run + hardware -> plan, without torch."""

from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_contract.run import World
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.training_plan import (
    TrainingPlan,
    check_run,
    names_to_fetch,
    plan_training,
)
from trainer.runs import a_parsed_run

CPU = Hardware(gpus=0, cpus=4)
GPUS = Hardware(gpus=2, cpus=8)


def a_plan(
    hardware: Hardware = CPU,
    *,
    paths: dict[str, Path] | None = None,
    resume: Path | None = None,
    world: World | None = None,
    **config: Any,
) -> TrainingPlan:
    return plan_training(
        a_parsed_run(world=world, **config),
        hardware,
        local_paths=paths or {},
        output=Path("/work/training"),
        resume=resume,
    )


def test_a_cpu_gets_settings_it_supports() -> None:
    config = a_plan(CPU).config

    assert (config["use_cpu"], config["bf16"]) == (True, False)


def test_gpu_settings_are_left_to_trl() -> None:
    assert not {"use_cpu", "bf16"} & set(a_plan(GPUS).config)


@pytest.mark.parametrize("key", ["use_cpu", "bf16", "disable_tqdm", "logging_steps"])
def test_a_users_setting_is_never_overridden(key: str) -> None:
    assert a_plan(CPU, **{key: "as the user wrote"}).config[key] == "as the user wrote"


def test_a_users_logging_strategy_is_kept() -> None:
    assert "logging_steps" not in a_plan(logging_strategy="epoch").config


def test_fetched_names_become_paths_and_hub_names_lose_their_scheme() -> None:
    config = a_plan(
        paths={"s3://datasets/tiny": Path("/work/inputs/1")},
        model_name_or_path="hf://org/model",
    ).config

    assert config["dataset_name"] == "/work/inputs/1"
    assert config["model_name_or_path"] == "org/model"


def test_a_mixture_is_resolved_entry_by_entry() -> None:
    config = a_plan(
        paths={"s3://a": Path("/work/a")},
        dataset_name=None,
        datasets=[{"path": "s3://a", "split": "train"}, {"path": "org/b"}],
    ).config

    assert config["datasets"] == [{"path": "/work/a", "split": "train"}, {"path": "org/b"}]


@pytest.mark.parametrize(
    ("files", "fetched", "expected"),
    [
        pytest.param("s3://a/1.jsonl", ["s3://a/1.jsonl"], "/work/1.jsonl", id="one"),
        pytest.param(
            ["https://a/2.jsonl?sig=x", "data/*.jsonl"],
            ["https://a/2.jsonl?sig=x"],
            ["/work/2.jsonl", "data/*.jsonl"],
            id="several, of which one is elsewhere",
        ),
        pytest.param(
            {"train": ["s3://a/1.jsonl"], "test": "hf://datasets/org/b/t.json"},
            ["s3://a/1.jsonl"],
            {"train": ["/work/1.jsonl"], "test": "hf://datasets/org/b/t.json"},
            id="by split",
        ),
        pytest.param(None, [], None, id="none"),
    ],
)
def test_data_files_that_datasets_cannot_read_remotely_are_fetched(
    files: Any, fetched: list[str], expected: Any
) -> None:
    paths = {
        "s3://a/1.jsonl": Path("/work/1.jsonl"),
        "https://a/2.jsonl?sig=x": Path("/work/2.jsonl"),
    }
    part = {"path": "json", "data_files": files}

    names = [
        name
        for key, name in names_to_fetch(a_parsed_run(datasets=[part]).config)
        if key == "data_files"
    ]
    planned = a_plan(paths=paths, dataset_name=None, datasets=[part]).config["datasets"]

    assert names == fetched
    assert planned == [{"path": "json", "data_files": expected}]


def test_a_directory_in_data_files_stands_for_all_files_in_it(tmp_path: Path) -> None:
    part = {"path": "json", "data_files": "s3://a/rows"}

    planned = a_plan(paths={"s3://a/rows": tmp_path}, dataset_name=None, datasets=[part]).config

    assert planned["datasets"][0]["data_files"] == f"{tmp_path}/**"


def test_a_mixture_wins_over_a_single_dataset_as_in_trl() -> None:
    names = dict(names_to_fetch(a_parsed_run(datasets=[{"path": "s3://a"}]).config))

    assert names == {"model_name_or_path": "s3://models/tiny", "datasets": "s3://a"}


def test_adjustments_win_over_the_users_settings() -> None:
    plan = plan_training(
        a_parsed_run(per_device_train_batch_size=8, adjustments={"per_device_train_batch_size": 4}),
        CPU,
        local_paths={},
        output=Path("/work/training"),
        resume=None,
    )

    assert plan.config["per_device_train_batch_size"] == 4


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        pytest.param({}, 10, id="as often as TRL"),
        pytest.param({"eval_steps": 3}, 3, id="set"),
        pytest.param({"logging_steps": 5}, None, id="TRL takes those of logging"),
    ],
)
def test_logging_every_step_does_not_evaluate_every_step(
    config: dict[str, Any], steps: int | None
) -> None:
    assert a_plan(eval_strategy="steps", **config).config.get("eval_steps") == steps


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        pytest.param("lora_r", 8.0, int, id="JSON made a float of a count"),
        pytest.param("learning_rate", 1.0, float, id="a float stays one"),
        pytest.param("adam_beta1", 0, float, id="JSON made an integer of a float"),
        pytest.param("test_split_size", 2.0, int, id="two rows, not a share"),
        pytest.param("test_split_size", 0.2, float, id="a share"),
        pytest.param("use_peft", True, bool, id="no number"),
    ],
)
def test_numbers_have_the_type_that_trl_expects(key: str, value: Any, kind: type) -> None:
    assert type(a_plan(**{key: value}).config[key]) is kind


def test_a_resume_is_set_as_a_path_in_the_config() -> None:
    assert a_plan(resume=Path("/w/checkpoint-2")).config["resume_from_checkpoint"] == (
        "/w/checkpoint-2"
    )


def test_the_users_environment_reaches_the_ranks_before_torch_is_imported() -> None:
    environment = a_plan(env={"OMP_NUM_THREADS": 1, "MINE": "yes"}).environment

    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MINE"] == "yes"


@pytest.mark.parametrize(("processes", "threads"), [(1, "4"), (2, "2"), (8, "1")])
def test_ranks_share_the_cpus(processes: int, threads: str) -> None:
    world = World(processes_per_node=processes)

    assert a_plan(CPU, world=world).environment["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(
    ("config", "cpus", "threads"),
    [
        pytest.param({}, 128, "8", id="a large node has no more for a rank than it can use"),
        pytest.param({}, 12, "3", id="a small one is shared"),
        pytest.param({"accelerate_config": "zero3-offload"}, 128, "32",
                     id="what is offloaded is computed on the CPUs"),
    ],
)  # fmt: skip
def test_threads_are_limited_for_each_rank_on_gpu_nodes(
    config: dict[str, Any], cpus: int, threads: str
) -> None:
    plan = a_plan(Hardware(gpus=4, cpus=cpus), world=World(processes_per_node=4), **config)

    assert plan.environment["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(
    ("world", "config", "expected"),
    [
        pytest.param(World(), {}, False, id="one process"),
        pytest.param(World(nodes=2), {}, True, id="two nodes"),
        pytest.param(World(), {"fsdp": "full_shard"}, True, id="FSDP around one process"),
        pytest.param(World(), {"ddp_backend": "gloo"}, True, id="a backend around one process"),
    ],
)
def test_only_several_processes_or_sharding_need_a_process_group(
    world: World, config: dict[str, Any], expected: bool
) -> None:
    assert a_plan(world=world, **config).is_distributed is expected


def test_an_invalid_config_is_a_user_error_with_every_problem() -> None:
    with pytest.raises(AttemptFailed) as caught:
        check_run(a_parsed_run(learning_rte=1e-4, output_dir="/x"), CPU)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "InvalidConfig")
    assert "did you mean learning_rate?" in failure.message
    assert "output_dir: is set by the operator" in failure.message


def test_a_tracker_without_its_secret_is_refused_if_no_other_source_exists() -> None:
    run = a_parsed_run(report_to="wandb")

    check_run(run, CPU)
    check_run(run, CPU, variables={"WANDB_API_KEY"})
    with pytest.raises(AttemptFailed, match="WANDB_API_KEY"):
        check_run(run, CPU, variables={"PATH"})


def test_rows_longer_than_the_models_context_are_refused_once_the_model_is_fetched() -> None:
    run = a_parsed_run(max_length=4096)

    check_run(run, CPU)
    check_run(run, CPU, model={"max_position_embeddings": 4096})
    with pytest.raises(AttemptFailed, match="expected at most 2048, the context of the model"):
        check_run(run, CPU, model={"max_position_embeddings": 2048})


def test_without_a_schema_of_the_images_trl_the_check_is_left_to_trls_parser() -> None:
    check_run(a_parsed_run(a_key_of_tomorrow=1), CPU, trl_version="99.0.0")
