# SPDX-License-Identifier: Apache-2.0
"""Facts about base models that are known without torch, compared with transformers and PEFT."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from finetune_spec.base_model import experts, kinds, mamba, tensors
from finetune_spec.config import read_config
from finetune_spec.memory import parse_model
from finetune_spec.memory.adapter import DEFAULT_EXPRESSIONS, DEFAULT_TARGETS
from finetune_spec.memory.families import FAMILIES

pytestmark = pytest.mark.slow

CONFIG = read_config({"model_name_or_path": "acme/base"})

ENCODERS_WITH_DECODERS = {"EncoderDecoderModel", "VisionEncoderDecoderModel"}


def classes_of(*mappings: str) -> Iterator[tuple[str, str]]:
    """Each type of model with transformers' classes for a task."""
    from transformers.models.auto import modeling_auto

    for mapping in mappings:
        names: Mapping[str, Any] = getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES")
        for model_type, classes in names.items():
            for name in (classes,) if isinstance(classes, str) else classes:
                yield model_type, name


def refused(model_type: str, name: str, **more: Any) -> bool:
    model = {"model_type": model_type, "architectures": [name], **more}
    return bool([*kinds.check_kind(CONFIG, model)])


def test_no_class_that_generates_text_is_refused() -> None:
    classes = {*classes_of("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM")}

    assert len(classes) > 200
    assert {name for each, name in classes if refused(each, name)} <= ENCODERS_WITH_DECODERS


@pytest.mark.parametrize(
    "mapping",
    [
        *("SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING"),
        *("MULTIPLE_CHOICE", "NEXT_SENTENCE_PREDICTION"),
    ],
)
def test_every_classifier_is_refused(mapping: str) -> None:
    classes = {*classes_of(mapping)}

    assert {name for each, name in classes if not refused(each, name)} == set()


def test_every_masked_language_encoder_is_refused() -> None:
    writers = {name for _, name in classes_of("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM")}
    classes = {(each, name) for each, name in classes_of("MASKED_LM") if name not in writers}

    left = {name for each, name in classes if not refused(each, name)}
    assert {name for name in left if name.endswith("ForMaskedLM")} == set()


def test_every_text_translation_model_is_refused_by_its_saved_config() -> None:
    listens = ("audio", "speech", "voxtral", "asr", "seamless", "flamingo", "transcribe")
    classes = {
        (each, name)
        for each, name in classes_of("SEQ_TO_SEQ_CAUSAL_LM")
        if not any(word in each for word in listens)
    }

    assert len(classes) > 15
    assert {name for each, name in classes if not refused(each, name, is_encoder_decoder=True)} == (
        set()
    )


def test_the_types_with_default_targets_match_pefts() -> None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    assert {*DEFAULT_TARGETS} | DEFAULT_EXPRESSIONS == {
        *TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    }


def test_the_mixtures_whose_targets_are_converted_match_pefts() -> None:
    from peft.utils import transformers_weight_conversion as conversion

    assert dict(experts.MERGED_MATRICES) == {
        model_type: tuple(conversion._MOE_FUSED_TARGETS[pattern]["gate_up_proj"])
        for model_type, pattern in conversion._MODEL_TO_CONVERSION_PATTERN.items()
        if pattern in conversion._MOE_FUSED_TARGETS
    }


def test_the_matrices_that_mamba_reads_past_an_adapter_are_those_that_peft_refuses() -> None:
    from peft import LoraConfig
    from peft.tuners.tuners_utils import _check_lora_target_modules_mamba
    from torch import nn
    from transformers import CONFIG_MAPPING

    def refuses(model_type: str, module: str) -> bool:
        model = nn.Module()
        model.config = CONFIG_MAPPING[model_type]()
        try:
            _check_lora_target_modules_mamba(LoraConfig(), model, module)
        except ValueError:
            return True
        return False

    modules = (*mamba.REFUSED, "in_proj", "x_proj", "dt_proj", "q_proj")
    found = {
        each: tuple(it for it in modules if refuses(each, it))
        for each in CONFIG_MAPPING
        if "mamba" in each or each in (*mamba.OTHERS, "jamba", "zamba", "bamba", "llama")
    }

    assert {each for each, refused in found.items() if refused} == {*mamba.OTHERS}
    assert {found[each] for each in mamba.OTHERS} == {mamba.REFUSED}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tensors_of_every_known_family_are_expected_by_name(family: str) -> None:
    """A family's tensors are complete; without a matrix or the embedding they are not."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[family]()
    config.num_hidden_layers = 2
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tied: set[str] = set() if config.tie_word_embeddings is False else {"lm_head.weight"}
    state = model.state_dict()
    shapes = {name: tuple(it.shape) for name, it in state.items() if name not in tied}
    said = config.to_dict()
    name = parse_model(said).layer_of(1, parse_model(said).linears[0])

    assert tensors.find_damage(shapes, tensors.embedding_rows(shapes), said) is None
    del shapes[f"{name}.weight"]
    damage = tensors.find_damage(shapes, tensors.embedding_rows(shapes), said)
    assert damage is not None
    assert damage.message.startswith(f"the model's files lack 1 tensor ({name}.weight)")
