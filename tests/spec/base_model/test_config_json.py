# SPDX-License-Identifier: Apache-2.0
"""Problems in a model's config.json are reported before a GPU is requested, with the remedy.

Each base model is given as its config.json on the hub; a hub has many more of each kind.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.job import KnownModel, check_job
from spec.base_model.checked_models import LLAMA, LORA, of, told

BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}

ENCODER = "model_name_or_path: the model is an encoder, which does not generate text"
CLASSIFIER = "model_name_or_path: the model is a classifier, which does not generate text"
TRANSLATOR = "model_name_or_path: the model is an encoder with a decoder (sequence to sequence)"
HEADLESS = "model_name_or_path: the model is a decoder without its output head"


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        pytest.param(of("bert", "BertForMaskedLM"), ENCODER, id="bert-base"),
        pytest.param(of("bert", "BertModel"), ENCODER, id="a sentence embedder"),
        pytest.param(of("modernbert", "ModernBertForMaskedLM"), ENCODER, id="ModernBERT"),
        pytest.param(of("xlm-roberta", "XLMRobertaModel"), ENCODER, id="bge-m3"),
        pytest.param(of("distilbert"), ENCODER, id="an encoder of which only the type is known"),
        pytest.param(of("newbert", "NewBertForMaskedLM"), ENCODER, id="an encoder of tomorrow"),
        pytest.param(of("t5", "T5EncoderModel"), TRANSLATOR, id="half of T5"),
        pytest.param(
            of("t5", "T5ForConditionalGeneration", is_encoder_decoder=True),
            TRANSLATOR,
            id="flan-t5",
        ),
        pytest.param(
            of("bart", "BartForConditionalGeneration", is_encoder_decoder=True),
            TRANSLATOR,
            id="bart-large",
        ),
        pytest.param(
            of("newt5", "NewT5ForConditionalGeneration", is_encoder_decoder=True),
            TRANSLATOR,
            id="a translator of tomorrow",
        ),
        pytest.param(of("llama", "LlamaForSequenceClassification"), CLASSIFIER, id="a classifier"),
        pytest.param(of("qwen2", "Qwen2ForRewardModel"), CLASSIFIER, id="a reward model"),
        pytest.param(of("bert", "BertForTokenClassification"), CLASSIFIER, id="entities"),
        pytest.param(of("roberta", "RobertaForQuestionAnswering"), CLASSIFIER, id="SQuAD"),
        pytest.param(of("llama", "LlamaModel"), HEADLESS, id="a Llama without its head"),
        pytest.param(of("mistral", "MistralModel"), HEADLESS, id="e5-mistral, an embedder"),
    ],
)
@pytest.mark.parametrize("config", [{}, LORA], ids=["whole", "LoRA"])
def test_a_model_that_generates_no_text_is_refused_with_a_request_for_a_decoder(
    model: Mapping[str, Any], sentence: str, config: Mapping[str, Any]
) -> None:
    (found,) = told(config, model)

    assert found.startswith(sentence)
    assert "end in ForCausalLM" in found
    assert (model["architectures"] or [model["model_type"]])[0] in found


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(LLAMA, id="Llama"),
        pytest.param(of("gpt2", "GPT2LMHeadModel"), id="GPT-2"),
        pytest.param(of("gpt2", "GPT2DoubleHeadsModel"), id="GPT-2 with two heads"),
        pytest.param(of("llava", "LlavaForConditionalGeneration"), id="a model that sees"),
        pytest.param(of("gemma3", "Gemma3ForConditionalGeneration"), id="Gemma 3"),
        pytest.param(of("bert", "BertLMHeadModel"), id="BERT as a decoder"),
        pytest.param(of("bart", "BartForCausalLM", is_encoder_decoder=True), id="half of BART"),
        pytest.param(
            of("chatglm", "ChatGLMModel", auto_map={"AutoModelForCausalLM": "modeling.ChatGLM"}),
            id="its own code",
        ),
        pytest.param({"hidden_size": 64}, id="a nearly empty config"),
        pytest.param(of("tomorrow", "TomorrowForEverything"), id="nobody knows yet"),
    ],
)
def test_a_model_that_may_generate_text_is_left_to_transformers(model: Mapping[str, Any]) -> None:
    assert told({}, model) == []


@pytest.mark.parametrize(
    ("config", "model", "sentences"),
    [
        pytest.param(
            {**LORA, "merge_adapter": True},
            {**LLAMA, "quantization_config": BNB},
            "merge_adapter: found true, but the model's weights are stored quantized "
            "(bitsandbytes), and an adapter cannot be merged into them: leave merge_adapter out, "
            "or name the model that it was quantized from, with load_in_4bit: true",
            id="merging into 4 bits",
        ),
        pytest.param(
            {**LORA, "merge_adapter": True, "load_in_4bit": True},
            {**LLAMA, "quantization_config": {"load_in_8bit": True}},
            "merge_adapter: found true, but the model's weights are stored quantized "
            "(bitsandbytes), and an adapter cannot be merged into them: leave merge_adapter out, "
            "or name the model that it was quantized from, with load_in_4bit: true",
            id="merging into 8 bits, of an older file",
        ),
        pytest.param(
            {},
            {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4}},
            "use_peft: found false, but the model's weights are stored quantized (gptq) and "
            "cannot be trained, only an adapter on top of them: set use_peft to true, or name "
            "the model that it was quantized from",
            id="training 4 bits whole",
        ),
        pytest.param(
            {**LORA, "load_in_4bit": True},
            {**LLAMA, "quantization_config": {"quant_method": "awq"}},
            "load_in_4bit: found true, but the model's weights are stored quantized (awq): "
            "remove load_in_4bit, or name the model that it was quantized from",
            id="quantizing what is quantized",
        ),
        pytest.param(LORA, {**LLAMA, "quantization_config": BNB}, "", id="QLoRA on 4 bits"),
        pytest.param(
            {**LORA, "load_in_4bit": True},
            {**LLAMA, "quantization_config": BNB},
            "",
            id="4 bits, twice by the same method",
        ),
        pytest.param(
            {**LORA, "merge_adapter": True},
            {**LLAMA, "quantization_config": {"quant_method": "mxfp4"}},
            "",
            id="mxfp4, which is dequantized",
        ),
        pytest.param({}, {**LLAMA, "quantization_config": "4 bits, please"}, "", id="a text"),
        pytest.param({**LORA, "merge_adapter": True}, LLAMA, "", id="merging into 16 bits"),
    ],
)
def test_quantized_weights_are_checked_against_the_config(
    config: Mapping[str, Any], model: Mapping[str, Any], sentences: str
) -> None:
    assert "\n".join(told(config, model)) == sentences


@pytest.mark.parametrize(
    ("config", "model", "sentences"),
    [
        pytest.param(
            LORA,
            of("phi3", "Phi3ForCausalLM"),
            "use_peft: found true without lora_target_modules, but PEFT has no default targets "
            'for models of type "phi3": set lora_target_modules: all-linear',
            id="Phi-3 has no default",
        ),
        pytest.param(
            LORA,
            of("qwen3_moe", "Qwen3MoeForCausalLM"),
            "use_peft: found true without lora_target_modules, but PEFT has no default targets "
            'for models of type "qwen3_moe": set lora_target_modules: all-linear',
            id="a mixture has none",
        ),
        pytest.param(
            LORA,
            of("mixtral", "MixtralForCausalLM"),
            "use_peft: found true without lora_target_modules, but PEFT has no default targets "
            'for models of type "mixtral": set lora_target_modules: all-linear',
            id="PEFT converts Mixtral's away",
        ),
        pytest.param(LORA, LLAMA, "", id="Llama has"),
        pytest.param(LORA, of("gemma4", "Gemma4ForConditionalGeneration"), "", id="an expression"),
        pytest.param({}, of("phi3", "Phi3ForCausalLM"), "", id="trained whole"),
        pytest.param(
            {**LORA, "lora_target_parameters": ["experts.down_proj"], "lora_dropout": 0},
            of("gpt_oss", "GptOssForCausalLM"),
            "",
            id="parameters instead of modules",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["query", "value"]},
            LLAMA,
            "lora_target_modules: the model has none of query, value: it has q_proj, k_proj, "
            "v_proj, o_proj, gate_proj, up_proj, down_proj; all-linear targets every linear layer",
            id="BERT's targets on Llama",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["q_proj", "v_proj"]},
            of("gpt2", "GPT2LMHeadModel"),
            "lora_target_modules: the model has none of q_proj, v_proj: it has c_attn, c_proj, "
            "c_fc; all-linear targets every linear layer",
            id="Llama's targets on GPT-2",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["q_proj", "up_projj", "W_pack"]},
            LLAMA,
            "warning: lora_target_modules: the model has no up_projj, so this target has no "
            "effect, did you mean up_proj?\nwarning: lora_target_modules: the model has no "
            "W_pack, so this target has no effect: it has q_proj, k_proj, v_proj, o_proj, "
            "gate_proj, up_proj, down_proj",
            id="two of three aren't there",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": r".*\.query_key_value"},
            LLAMA,
            'lora_target_modules: the expression ".*\\\\.query_key_value" matches no module of '
            "the model, whose full names look like model.layers.0.self_attn.q_proj: set it to "
            "all-linear, or to a list of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
            "down_proj",
            id="an expression that matches nothing",
        ),
        pytest.param(
            {
                **LORA,
                "lora_target_modules": [r"model.layers.2.self_attn.q_proj", "layers.0.mlp.up_proj"],
            },
            LLAMA,
            "",
            id="single layers",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": r".*\.(q|v)_proj"}, LLAMA, "", id="an expression"
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["embed_tokens", "q_proj"]}, LLAMA, "", id="embeddings"
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["in_proj", "x_proj"]},
            of("mamba", "MambaForCausalLM"),
            "",
            id="other targets of Mamba",
        ),
    ],
)
def test_adapter_targets_are_checked_against_the_model(
    config: Mapping[str, Any], model: Mapping[str, Any], sentences: str
) -> None:
    assert "\n".join(told(config, model)) == sentences


@pytest.mark.parametrize(
    ("changes", "model", "sentences"),
    [
        pytest.param(
            {"lora_target_modules": "all-linear"},
            of("qwen3_moe", "Qwen3MoeForCausalLM"),
            "lora_dropout: found 0.05, and lora_target_modules (all-linear) includes the experts "
            "of this mixture, for which PEFT does not support dropout: set lora_dropout: 0, or "
            "list only the attention matrices",
            id="TRL's own dropout on all-linear",
        ),
        pytest.param(
            {"lora_target_modules": ["q_proj", "w1", "w2", "w3"], "lora_dropout": 0.1},
            of("mixtral", "MixtralForCausalLM"),
            "lora_dropout: found 0.1, and lora_target_modules (w1, w2, w3) includes the experts "
            "of this mixture, for which PEFT does not support dropout: set lora_dropout: 0, or "
            "list only the attention matrices",
            id="Mixtral's experts by name",
        ),
        pytest.param(
            {"lora_target_modules": ["q_proj", "gate_proj"], "lora_dropout": 0},
            of("olmoe", "OlmoeForCausalLM"),
            "lora_target_modules: found gate_proj without up_proj, but the two are a single "
            "parameter in the experts of this mixture: add up_proj",
            id="half of what is one parameter",
        ),
        pytest.param(
            {"lora_target_modules": "all-linear", "lora_dropout": 0},
            of("qwen3_moe", "Qwen3MoeForCausalLM"),
            "",
            id="without dropout",
        ),
        pytest.param(
            {"lora_target_modules": ["q_proj", "v_proj"]},
            of("qwen3_moe", "Qwen3MoeForCausalLM"),
            "",
            id="the attention alone",
        ),
        pytest.param(
            {"lora_target_modules": "all-linear"},
            of("gpt_oss", "GptOssForCausalLM"),
            "",
            id="a mixture whose experts PEFT leaves alone",
        ),
        pytest.param({"lora_target_modules": "all-linear"}, LLAMA, "", id="no mixture"),
    ],
)
def test_dropout_is_checked_against_expert_targets(
    changes: Mapping[str, Any], model: Mapping[str, Any], sentences: str
) -> None:
    assert "\n".join(told({**LORA, **changes}, model)) == sentences


TIED = {**LLAMA, "tie_word_embeddings": True}


@pytest.mark.parametrize(
    ("changes", "model", "is_refused"),
    [
        pytest.param({"merge_adapter": True}, TIED, True, id="merged"),
        pytest.param({"merge_adapter": True}, of("gpt2", "GPT2LMHeadModel"), False, id="not tied"),
        pytest.param({}, TIED, False, id="published as an adapter"),
        pytest.param({"merge_adapter": True}, LLAMA, False, id="a head of its own"),
    ],
)
def test_an_adapter_on_an_embedding_that_is_the_head_is_not_merged(
    changes: Mapping[str, Any], model: Mapping[str, Any], *, is_refused: bool
) -> None:
    targets = ["c_attn" if model["model_type"] == "gpt2" else "q_proj", "model.embed_tokens"]

    found = told({**LORA, "lora_target_modules": targets, **changes}, model)

    refusal = "".join(it for it in found if not it.startswith("warning"))
    assert refusal == is_refused * (
        "lora_target_modules: found model.embed_tokens together with merge_adapter: true, but "
        "the model's output head shares its weights with the embedding, and a merge would change "
        "both: leave merge_adapter out, or move model.embed_tokens to lora_modules_to_save"
    )


def test_a_job_is_refused_at_apply_if_its_model_is_known() -> None:
    spec = {"config": {"model_name_or_path": "google-bert/bert-base", "dataset_name": "acme/rows"}}

    checked = check_job(spec, model=KnownModel(config=of("bert", "BertForMaskedLM")))

    (mistake,) = [problem for problem in checked.problems if not problem.is_warning]
    assert str(mistake).startswith(f"spec.config.{ENCODER}")


def test_an_invalid_config_is_reported_without_model_checks() -> None:
    spec = {"config": {"model_name_or_path": "acme/bert", "learning_rte": 1e-4}}

    mistakes = check_job(spec, model=KnownModel(config=of("bert", "BertModel"))).problems

    assert not any("encoder" in str(mistake) for mistake in mistakes)


NOTHING: list[Any] = [None, 0, -1, 10**30, "text", [], [None], [[]], {}, {"a": {}}, True]


@pytest.mark.parametrize("key", [*LLAMA, "text_config", "quantization_config", "auto_map"])
@pytest.mark.parametrize(
    "config",
    [
        {},
        LORA,
        {**LORA, "lora_target_modules": ["a", "b"], "merge_adapter": True},
        {**LORA, "lora_target_modules": ".*q_proj", "load_in_4bit": True},
    ],
    ids=["whole", "LoRA", "named targets", "an expression"],
)
def test_any_content_of_a_hubs_config_json_is_handled(key: str, config: Mapping[str, Any]) -> None:
    for value in NOTHING:
        problems = told(config, {**LLAMA, key: value})
        assert all(len(problem) < 2_000 for problem in problems), value
