# SPDX-License-Identifier: Apache-2.0
"""The kind of model that a `config.json` describes: TRL trains text decoders. No I/O here.

TRL loads the class that `architectures` names. Without a language modelling head the first forward
pass fails, when the GPUs are already allocated.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.sft_config import MODEL, SftConfig
from finetune_spec.config.problem import Problem

_SHOWN = 80

ENCODERS = frozenset(
    {
        *("albert", "bert", "big_bird", "camembert", "convbert", "deberta", "deberta-v2"),
        *("distilbert", "electra", "ernie", "esm", "eurobert", "flaubert", "fnet", "funnel"),
        *("gte", "ibert", "layoutlm", "longformer", "luke", "mobilebert", "modernbert", "mpnet"),
        *("mra", "nomic_bert", "nystromformer", "rembert", "roberta", "roformer", "squeezebert"),
        *("tapas", "xlm-roberta", "xlm-roberta-xl", "yoso"),
    }
)
"""The `model_type` of encoders, for a config.json whose `architectures` do not show it."""

SEQUENCE_TO_SEQUENCE = frozenset(
    {
        *("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "encoder-decoder", "fsmt"),
        *("led", "longt5", "m2m_100", "marian", "mbart", "mt5", "mvp", "nllb-moe", "pegasus"),
        *("pegasus_x", "plbart", "prophetnet", "switch_transformers", "t5", "t5gemma", "umt5"),
        "whisper",
    }
)

_WRITERS = ("ForCausalLM", "LMHeadModel")
"""The endings of class names whose output is the next token, whatever their config is."""

_CLASSIFIERS = (
    *("ForSequenceClassification", "ForTokenClassification", "ForImageClassification"),
    *("ForAudioClassification", "ForQuestionAnswering", "ForMultipleChoice"),
    *("ForQuestionAnsweringSimple", "ForNextSentencePrediction", "ForRegression", "RewardModel"),
)
_REMOTE_CLASSES = ("AutoModelForCausalLM", "AutoModelForImageTextToText")

_DECODER = "name a decoder: a model whose architectures in config.json end in ForCausalLM"


def check_kind(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """Judges by the name of the model's class; a model with its own code is not judged."""
    if found := _describe(model):
        what, remedy = found
        shown = architecture_of(model) or f"model_type {type_of(model)}"
        yield Problem(
            path=config.name(MODEL), message=f"the model is {what} ({shown:.{_SHOWN}}): {remedy}"
        )


def is_of_another_kind(model: Mapping[str, Any]) -> bool:
    """Whether it is not a text decoder."""
    return _describe(model) is not None


def architecture_of(model: Mapping[str, Any]) -> str:
    """The class that TRL loads; empty if config.json names none."""
    named = model.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    return first if isinstance(first, str) else ""


def type_of(model: Mapping[str, Any]) -> str:
    """The `model_type` of the complete model, as PEFT reads it; empty if there is none."""
    found = model.get("model_type")
    return found if isinstance(found, str) else ""


def has_own_code(config: SftConfig, model: Mapping[str, Any]) -> bool:
    """Whether its code comes with its files, so that its `model_type` has no known meaning."""
    return bool(config["trust_remote_code"]) and _brings_code(model)


def _brings_code(model: Mapping[str, Any]) -> bool:
    named = model.get("auto_map")
    return isinstance(named, Mapping) and any(each in named for each in _REMOTE_CLASSES)


def _describe(model: Mapping[str, Any]) -> tuple[str, str] | None:
    """Its kind and the model to name instead; None for a text decoder."""
    name, model_type = architecture_of(model), type_of(model)
    if _brings_code(model):
        return None
    if name.endswith(_WRITERS):
        return None
    if name.endswith(_CLASSIFIERS):
        return (
            "a classifier, which does not generate text",
            (
                "name the language model that it was derived from, whose architectures in "
                "config.json end in ForCausalLM"
            ),
        )
    if model.get("is_encoder_decoder") is True or model_type in SEQUENCE_TO_SEQUENCE:
        return "an encoder with a decoder (sequence to sequence), which SFT cannot train", _DECODER
    if model_type in ENCODERS or name.endswith(("ForMaskedLM", "EncoderModel")):
        return "an encoder, which does not generate text", _DECODER
    if name.endswith("Model") and "Head" not in name:
        return (
            "a decoder without its output head",
            (
                "name the complete language model, whose architectures in config.json end in "
                "ForCausalLM; it may be the model that this one was extracted from"
            ),
        )
    return None
