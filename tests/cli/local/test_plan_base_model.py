# SPDX-License-Identifier: Apache-2.0
"""`finetune plan` with common base models: refused with a remedy, before any GPU is requested."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.local.command_line import main
from support.model_folders import LLAMA, POINTER, a_model, a_tokenizer, tensors_of, write_weights

LORA = {"use_peft": True, "lora_target_modules": "all-linear"}


def plan(folder: Path, **config: Any) -> int:
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "balloon"},
        "spec": {
            "config": {
                "model_name_or_path": str(folder / "model"),
                "dataset_name": str(folder / "train.jsonl"),
                "max_steps": 2,
                "learning_rate": 2e-4,
                **config,
            },
            "output": {"uri": "s3://models/balloon"},
        },
    }
    (folder / "train.jsonl").write_text('{"text": "words"}\n')
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return main(["plan", str(folder / "job.yaml")])


def of(model_type: str, *architectures: str, **more: Any) -> Callable[[Path], object]:
    config = {**LLAMA, "model_type": model_type, "architectures": [*architectures], **more}

    def write(model: Path) -> None:
        a_model(model, config)
        if not architectures[0].endswith("ForCausalLM"):
            tensors = tensors_of(config)
            del tensors["lm_head.weight"]
            write_weights(model / "model.safetensors", tensors)

    return write


@pytest.mark.parametrize(
    ("spoil", "config", "sentence"),
    [
        pytest.param(
            of("bert", "BertForMaskedLM"),
            {},
            "spec.config.model_name_or_path: the model is an encoder, which does not generate text",
            id="an encoder",
        ),
        pytest.param(
            of("tomorrow", "TomorrowForCausalLM"),
            {"use_peft": True},
            'no default targets for models of type "tomorrow": set lora_target_modules: all-linear',
            id="no default targets",
        ),
        pytest.param(
            of("llama", "LlamaForSequenceClassification"),
            {},
            "spec.config.model_name_or_path: the model is a classifier, which does not generate "
            "text",
            id="a classifier, whose files have no lm_head",
        ),
        pytest.param(
            of("mamba", "MambaForCausalLM"),
            {"use_peft": True, "lora_target_modules": ["query", "value"]},
            "spec.config.lora_target_modules: the model has none of query, value: it has q_proj, "
            "k_proj",
            id="targets that the files of an unknown architecture don't list",
        ),
        pytest.param(
            of("qwen3_moe", "Qwen3MoeForCausalLM"),
            LORA,
            "spec.config.lora_dropout: found 0.05",
            id="a mixture with dropout",
        ),
        pytest.param(
            of("llama", "LlamaForCausalLM", quantization_config={"quant_method": "gptq"}),
            {**LORA, "merge_adapter": True},
            "spec.config.merge_adapter: found true, but the model's weights are stored quantized",
            id="merging into 4 bits",
        ),
        pytest.param(
            lambda model: (model / "model.safetensors").write_text(POINTER),
            {},
            "model.safetensors is a Git LFS pointer",
            id="a pointer",
        ),
        pytest.param(
            lambda model: None,
            {"num_layers_unfrozen": 5},
            "spec.config.num_layers_unfrozen: found 5, expected at most 2",
            id="more layers than the model has",
        ),
    ],
)
def test_a_base_model_that_cannot_be_trained_with_the_config_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    config: dict[str, Any],
    sentence: str,
) -> None:
    spoil(a_model(tmp_path / "model"))

    exit_code = plan(tmp_path, **config)

    told = capsys.readouterr()
    assert exit_code == 64
    assert sentence in told.err
    assert told.out == ""


def test_tokens_without_an_embedding_row_are_reported_until_added_tokens_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_tokenizer(a_model(tmp_path / "model"), **{"<call>": 100, "<known>": 99})

    assert plan(tmp_path) == 0
    assert 'has no row for "<call>": if the data contains one of them' in capsys.readouterr().err
    assert plan(tmp_path, added_tokens=["<call>"]) == 0
    assert "has no row" not in capsys.readouterr().err


def test_an_unknown_number_of_trained_parameters_is_not_shown_as_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of("gpt_oss", "GptOssForCausalLM")(a_model(tmp_path / "model"))

    config = {"lora_target_parameters": ["mlp.experts.down_proj"], "lora_dropout": 0}
    assert plan(tmp_path, use_peft=True, **config) == 0

    told = capsys.readouterr().out
    assert "0 parameters (0.00%" not in told
    assert "the number of parameters is known once the model is loaded" in told
