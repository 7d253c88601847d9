# SPDX-License-Identifier: Apache-2.0
"""Packages that a config or a model needs are reported before anything is fetched."""

from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_spec.config import read_config
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.packages import is_importable, require_model_packages, require_packages
from trainer.runs import a_folder


def nothing(module: str) -> bool:
    del module
    return False


def told(config: dict[str, Any]) -> str:
    with pytest.raises(AttemptFailed) as caught:
        require_packages(read_config(config), nothing)
    failure = caught.value.failure
    assert (failure.reason, failure.category) == ("PackageNotInstalled", Category.USER)
    return f"{failure.message} | {failure.remedy}"


def test_an_optimizer_missing_in_the_image_is_refused_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    from trainer.in_process import train

    done = train(tmp_path, tmp_path / "no-model", tmp_path / "no-data", optim="schedule_free_adamw")

    assert done.words() == (
        'PackageNotInstalled: optim: found "schedule_free_adamw", which needs the package '
        "schedulefree, but this trainer image lacks it | adamw_torch_fused with "
        "lr_scheduler_type: constant_with_warmup needs none; or set spec.image to an image that "
        "also has schedulefree"
    )


def test_each_value_is_reported_with_its_key_and_package() -> None:
    assert 'optim: found "galore_adamw", which needs the package galore-torch' in told(
        {"optim": "galore_adamw"}
    )
    assert "which needs the package kernels" in told({"attn_implementation": "org/flash:attention"})


@pytest.mark.parametrize(
    "config", [{}, {"optim": "sgd"}, {"attn_implementation": "eager"}, {"optim": None}], ids=str
)
def test_a_config_that_needs_no_package_is_accepted_without_any(config: dict[str, Any]) -> None:
    require_packages(read_config(config), nothing)


def test_a_config_is_accepted_if_its_packages_are_installed() -> None:
    config = read_config({"optim": "lomo", "attn_implementation": "org/kernel"})

    require_packages(config, {"lomo_optim", "kernels"}.__contains__)


@pytest.mark.parametrize(
    ("files", "package"),
    [
        (("tokenizer.model",), "sentencepiece"),
        (("spiece.model",), "sentencepiece"),
        (("qwen.tiktoken",), "tiktoken"),
        (("tokenizer.model", "tokenizer.json"), None),
        (("tokenizer.model", "tekken.json"), None),
        (("vocab.json", "merges.txt"), None),
    ],
    ids=str,
)
def test_a_tokenizer_that_needs_a_package_is_refused_with_the_file_that_needs_none(
    tmp_path: Path, files: tuple[str, ...], package: str | None
) -> None:
    folder = a_folder(tmp_path / "model", dict.fromkeys(files, b"x"))

    if package is None:
        require_model_packages({}, folder, nothing)
        return
    with pytest.raises(AttemptFailed) as caught:
        require_model_packages({}, folder, nothing)
    failure = caught.value.failure
    assert f"is {files[0]} alone, which needs the package {package}" in failure.message
    assert "a tokenizer.json next to it needs none" in failure.remedy
    require_model_packages({}, folder, {package}.__contains__)


def test_weights_in_a_special_format_require_its_package() -> None:
    model = {"quantization_config": {"quant_method": "gptq"}}

    with pytest.raises(AttemptFailed) as caught:
        require_model_packages(model, None, {"optimum"}.__contains__)

    assert "stored as gptq, which needs the package gptqmodel" in caught.value.failure.message
    require_model_packages(model, None, {"optimum", "gptqmodel"}.__contains__)


def test_a_module_is_searched_and_not_imported() -> None:
    assert is_importable("json")
    assert not is_importable("no_such_package.at_all")
    assert not is_importable("no_such_package")


@pytest.mark.slow
def test_the_table_refuses_the_optimizers_that_transformers_refuses(tmp_path: Path) -> None:
    """transformers itself checks each optimizer, in an environment like the image's."""
    from transformers import Trainer, TrainingArguments

    from finetune_spec.config.parse.schema import load_schema

    differing = {}
    for name in load_schema().properties["optim"]["enum"]:
        arguments = TrainingArguments(
            output_dir=str(tmp_path), optim=name, use_cpu=True, optim_target_modules=["x"]
        )
        try:
            Trainer.get_optimizer_cls_and_kwargs(arguments)
            has = True
        except (ImportError, ValueError) as error:
            # Other errors are about a model, which is used after their package.
            lacks = isinstance(error, ImportError) or "failed to import" in str(error)
            has = not lacks and "install" not in str(error).lower()
        try:
            require_packages(read_config({"optim": name}))
            is_let_through = True
        except AttemptFailed:
            is_let_through = False
        if has is not is_let_through:
            differing[name] = (has, is_let_through)

    assert differing == {}
