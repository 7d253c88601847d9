# SPDX-License-Identifier: Apache-2.0
"""Packages that a config or a model needs and the stock image lacks: reported before a pod runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from finetune_spec.config import Context, parse_config
from finetune_spec.config.check.choices import TRACKERS as KNOWN_TRACKERS
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.job import check_job
from finetune_spec.packages import BY_KEY, BY_STORAGE, BY_TOKENIZER, OPTIMIZER, PACKAGES, TRACKERS

LOCK = Path(__file__).parents[2] / "requirements" / "trainer.txt"
SOUND: Mapping[str, Any] = {"model_name_or_path": "org/m", "dataset_name": "org/d"}
LACKS = "the trainer image lacks: the job would fail unless spec.image has it"


def warned(config: Mapping[str, Any], model: Mapping[str, Any] | None = None, gpus: int = 1) -> str:
    context = Context(model=model, gpus_per_node=gpus)
    _, problems = parse_config({**SOUND, **config}, context)
    assert all(problem.is_warning for problem in problems)
    return " | ".join(str(problem) for problem in problems if "image lacks" in str(problem))


def test_the_table_marks_as_shipped_what_the_images_lock_contains() -> None:
    names = (line.split("==")[0].lower() for line in LOCK.read_text().splitlines() if "==" in line)
    locked = {name.strip().replace("_", "-") for name in names}

    for package in PACKAGES.values():
        is_locked = package.name.lower().replace("_", "-") in locked
        assert package.is_shipped is is_locked, package.name


def test_every_optimizer_and_tracker_needs_a_package_or_is_built_in() -> None:
    plain = {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"}
    optimizers = set(load_schema().properties[OPTIMIZER]["enum"])

    assert optimizers - set(BY_KEY[OPTIMIZER]) == plain
    assert set(KNOWN_TRACKERS) - set(BY_KEY[TRACKERS]) == {"kubeflow"}


def test_every_need_names_packages_of_the_table_and_an_alternative() -> None:
    needs = [need for values in BY_KEY.values() for need in values.values()]
    needs += [need for several in BY_STORAGE.values() for need in several]

    for need in (*needs, *BY_TOKENIZER.values()):
        assert set(need.packages) <= set(PACKAGES)
        assert need.instead


@pytest.mark.parametrize(
    ("config", "package", "instead"),
    [
        ({"optim": "schedule_free_adamw"}, "schedulefree", "constant_with_warmup needs none"),
        ({"optim": "lomo"}, "lomo-optim", "adamw_8bit needs none and uses as little memory"),
        ({"optim": "adamw_torch_4bit"}, "torchao", "adamw_8bit needs none"),
        ({"optim": "stable_adamw"}, "torch-optimi", "adamw_torch_fused needs none"),
        ({"report_to": "clearml"}, "clearml", "wandb, mlflow, tensorboard and trackio"),
        ({"report_to": ["tensorboard", "swanlab"]}, "swanlab", "wandb, mlflow, tensorboard"),
        ({"attn_implementation": "org/kernel"}, "kernels", "flash_attention_2 and sdpa need none"),
    ],
    ids=str,
)
def test_a_package_missing_in_the_stock_image_gets_a_warning_with_an_alternative(
    config: Mapping[str, Any], package: str, instead: str
) -> None:
    words = warned(config)

    assert f"needs the package {package}, which {LACKS}" in words
    assert instead in words


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"optim": "adamw_8bit"},
        {"optim": "adafactor"},
        {"report_to": ["wandb", "mlflow", "tensorboard", "trackio"]},
        {"report_to": "none"},
        {"attn_implementation": "sdpa"},
        {"attn_implementation": "flash_attention_2"},
    ],
    ids=str,
)
def test_a_package_in_the_stock_image_gets_no_warning(config: Mapping[str, Any]) -> None:
    assert warned(config) == ""


def test_a_job_with_its_own_image_gets_no_warning() -> None:
    spec = {
        "config": {**SOUND, "optim": "lomo"},
        "output": {"uri": "s3://b/o"},
        "image": "registry.example/trainer:1",
    }

    with_own = check_job(spec)
    stock = check_job({key: value for key, value in spec.items() if key != "image"})

    assert not [it for it in with_own.problems if "lomo" in it.message]
    assert [it.path for it in stock.problems if "lomo" in it.message] == ["spec.config.optim"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "the packages gptqmodel and optimum are needed",
        ),
        (
            {"quantization_config": {"quant_method": "awq"}},
            "for which the package gptqmodel is needed",
        ),
        ({"model_type": "falcon_mamba"}, "several times faster with the package causal-conv1d"),
        ({"model_type": "llama"}, ""),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, ""),
        ({"quantization_config": "broken"}, ""),
    ],
    ids=str,
)
def test_packages_that_a_models_config_json_requires_get_a_warning(
    model: Mapping[str, Any], words: str
) -> None:
    config = {"use_peft": True}

    assert (words in warned(config, model)) if words else warned(config, model) == ""
