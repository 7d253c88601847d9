# SPDX-License-Identifier: Apache-2.0
"""An adapter in place of a model: its untrusted config, and whether it fits config and base."""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.base_model.adapter_fit import find_contradictions, find_misfit, settings_of
from finetune_spec.base_model.adapters import (
    UnusableAdapter,
    base_named_by,
    parse_adapter,
    peft_options,
)
from finetune_spec.config import read_config
from spec.base_model.checked_models import of, told
from support.model_folders import ADAPTER, LLAMA, adapter_tensors, tensors_of

CONTINUE = {"adapter_as_model": "continue"}


def refusal(**changed: Any) -> str:
    """The message about an adapter with these options."""
    with pytest.raises(UnusableAdapter) as caught:
        base_named_by(parse_adapter({**ADAPTER, **changed}))
    assert caught.value.damage.remedy
    return caught.value.damage.message


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param(
            {"peft_type": "IA3"},
            'the adapter is of PEFT\'s type "IA3", and only LORA is supported',
            id="IA3",
        ),
        pytest.param({"peft_type": "PREFIX_TUNING"}, "only LORA is supported", id="a prefix"),
        pytest.param({"peft_type": ["LORA"]}, "only LORA is supported", id="a list of types"),
        pytest.param({"peft_type": None}, "type null, and only LORA", id="no type"),
        pytest.param(
            {"task_type": "SEQ_CLS"},
            'the adapter has task_type: "SEQ_CLS", and only "CAUSAL_LM" is supported',
            id="a classifier",
        ),
        pytest.param({"bias": "all"}, 'the adapter has bias: "all"', id="trained biases"),
        pytest.param(
            {"init_lora_weights": "pissa"},
            'the adapter has init_lora_weights: "pissa", and only true, "gaussian"',
            id="PiSSA, which changes the base",
        ),
        pytest.param({"init_lora_weights": 1}, "init_lora_weights: 1, and only", id="1 for true"),
        pytest.param(
            {"megatron_config": {"a": 1}},
            "the adapter has megatron_config: {",
            id="Megatron, which imports a module by its name",
        ),
        pytest.param(
            {"lora_bias": True}, "lora_bias: true, which is not supported", id="lora_bias"
        ),
        pytest.param({"use_qalora": True}, "use_qalora: true, which is not", id="QA-LoRA"),
        pytest.param({"layer_replication": [[0, 2]]}, "layer_replication", id="more layers"),
        pytest.param({"loftq_config": {"bits": 4}}, "loftq_config", id="LoftQ"),
        pytest.param({"of_tomorrow": 1}, "the adapter has of_tomorrow: 1", id="a newer option"),
        pytest.param({"r": 0}, "r: 0, expected a number from 1 to 65536", id="rank 0"),
        pytest.param({"r": 10**8}, "r: 100000000, expected a number", id="a rank of all memory"),
        pytest.param({"r": True}, "r: true, expected a number", id="a rank of true"),
        pytest.param({"r": "4"}, 'r: "4", expected a number', id="a rank in quotes"),
        pytest.param({"r": None}, "r: null, expected a number", id="no rank"),
        pytest.param({"lora_alpha": float("nan")}, "lora_alpha: NaN, expected", id="not a number"),
        pytest.param({"lora_dropout": 1.5}, "lora_dropout: 1.5, expected", id="dropout"),
        pytest.param(
            {"use_dora": "yes"}, 'use_dora: "yes", expected true or', id="a text for DoRA"
        ),
        pytest.param({"target_modules": None}, "target_modules: null, expected", id="no targets"),
        pytest.param({"target_modules": [7]}, "target_modules: [7], expected", id="a number"),
        pytest.param({"target_modules": ["q"] * 20_000}, "expected names of", id="20,000 targets"),
        pytest.param({"rank_pattern": {"q": 0}}, "rank_pattern: {", id="a rank of 0 for a module"),
        pytest.param({"rank_pattern": [4]}, "rank_pattern: [4], expected", id="a list of ranks"),
        pytest.param({"trainable_token_indices": [-1]}, "expected ids of tokens", id="token -1"),
        pytest.param({"base_model_name_or_path": 7}, "base_model_name_or_path: 7", id="base 7"),
        pytest.param({"revision": ["a"]}, 'revision: ["a"], expected a name', id="revisions"),
        pytest.param({"base_model_name_or_path": None}, "names no base model", id="no base"),
        pytest.param({"base_model_name_or_path": ""}, "names no base model", id="an empty base"),
        pytest.param(
            {"base_model_name_or_path": "../../secrets"},
            'the adapter names the base model "../../secrets", which is neither a hub name, nor',
            id="a way out",
        ),
        pytest.param({"base_model_name_or_path": "~/base"}, "which is neither", id="a home"),
        pytest.param({"base_model_name_or_path": "/a/../b"}, "which is neither", id="a detour"),
        pytest.param({"base_model_name_or_path": "a\nb/c"}, "expected a name", id="two lines"),
        pytest.param(
            {"base_model_name_or_path": "a" * 5000}, "expected a name", id="5,000 letters"
        ),
        pytest.param(
            {"base_model_name_or_path": "https://evil.example/x"}, "which is neither", id="the web"
        ),
        pytest.param(
            {"base_model_name_or_path": "ftp://evil.example/x"}, "which is neither", id="FTP"
        ),
        pytest.param({"base_model_name_or_path": "a/b/c"}, "which is neither", id="three parts"),
    ],
)
def test_an_adapter_that_cannot_be_trained_is_refused_by_the_name_of_its_option(
    changed: Mapping[str, Any], sentence: str
) -> None:
    assert sentence in refusal(**changed)


@pytest.mark.parametrize(
    "base",
    ["acme/base", "gpt2", "hf://acme/base", "s3://models/base", "gs://m/b", "/models/base"],
)
def test_a_base_model_may_be_at_every_location_of_a_model(base: str) -> None:
    assert base_named_by(parse_adapter({**ADAPTER, "base_model_name_or_path": base})) == base


def test_peft_gets_the_checked_options_only() -> None:
    hostile = {
        **ADAPTER,
        "auto_mapping": {"parent_library": "os", "base_model_class": "system"},
        "peft_version": "9",
        "revision": "v1",
        "rank_pattern": {"q_proj": 8},
    }

    options = peft_options(parse_adapter(hostile))

    assert options == {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 4,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"q_proj": 8},
        "use_dora": False,
        "use_rslora": False,
    }


def test_a_continued_adapter_determines_base_model_and_lora_keys() -> None:
    adapter = parse_adapter({**ADAPTER, "revision": "v1", "lora_alpha": 8.0})

    settings = settings_of(adapter, read_config({"model_name_or_path": "me/mine", **CONTINUE}))

    assert settings == {
        "model_name_or_path": "acme/base",
        "model_revision": "v1",
        "use_peft": True,
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.05,
        "lora_target_modules": ["q_proj", "v_proj"],
        "use_dora": False,
        "use_rslora": False,
    }


@pytest.mark.parametrize("named", [{}, {"adapter_base_model": "acme/base"}], ids=["it", "config"])
def test_an_adapter_is_not_its_own_base_model(named: Mapping[str, Any]) -> None:
    config = read_config({"model_name_or_path": "acme/base", **CONTINUE, **named})

    with pytest.raises(UnusableAdapter, match="the adapter acme/base is its own base model"):
        settings_of(parse_adapter(ADAPTER), config)


def test_an_adapter_that_is_merged_determines_only_the_base_model() -> None:
    adapter = parse_adapter({**ADAPTER, "revision": "v1"})
    config = read_config({"adapter_as_model": "merge", "adapter_base_model": "s3://models/base"})

    settings = settings_of(adapter, config)

    # The revision is that of the base model which the adapter names.
    assert settings == {"model_name_or_path": "s3://models/base", "model_revision": "main"}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"lora_r": 16},
            "lora_r: found 16, but adapter_as_model: continue trains an adapter with 4: remove "
            "lora_r, or name the base model to train a new adapter",
            id="another rank",
        ),
        pytest.param({"lora_alpha": 16}, "lora_alpha: found 16", id="another alpha"),
        pytest.param({"lora_dropout": 0.0}, "lora_dropout: found 0.0", id="another dropout"),
        pytest.param({"use_dora": True}, "use_dora: found true", id="DoRA"),
        pytest.param({"lora_target_modules": "all-linear"}, "lora_target_modules", id="all"),
        pytest.param({"lora_target_modules": ["q_proj"]}, "lora_target_modules", id="fewer"),
        pytest.param({"lora_modules_to_save": ["lm_head"]}, "lora_modules_to_save", id="a head"),
    ],
)
def test_a_key_that_describes_another_adapter_is_a_contradiction(
    config: Mapping[str, Any], sentence: str
) -> None:
    (problem,) = find_contradictions(read_config({**CONTINUE, **config}), parse_adapter(ADAPTER))

    assert sentence in str(problem)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"lora_r": 4, "lora_alpha": 32.0, "lora_dropout": 0.05},
        {"lora_target_modules": ["v_proj", "q_proj"], "use_dora": False},
        {"lora_modules_to_save": []},
        {"lora_r": 16, "adapter_as_model": "merge"},
    ],
    ids=["unset", "equal", "in another order", "nothing", "a new adapter on a merged one"],
)
def test_equal_and_unset_keys_agree(config: Mapping[str, Any]) -> None:
    read = read_config({**CONTINUE, **config})

    assert [*find_contradictions(read, parse_adapter(ADAPTER))] == []


def test_a_family_without_default_targets_may_have_an_adapter_that_names_its_own() -> None:
    model = of("novel", "NovelForCausalLM")

    assert told(CONTINUE, model) == []
    assert "PEFT has no default targets" in told({"use_peft": True}, model)[0]


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
BASE = tensors_of(LLAMA)


def misfit(
    tensors: Mapping[str, tuple[int, ...]],
    base: Mapping[str, tuple[int, ...]] = BASE,
    **changed: Any,
) -> str:
    adapter = parse_adapter({**ADAPTER, **changed})
    damage = find_misfit(adapter, tensors, base, LLAMA)
    return "" if damage is None else damage.message


@pytest.mark.parametrize(
    ("tensors", "base", "sentence"),
    [
        pytest.param({}, BASE, "the adapter's file has no LoRA weights", id="no tensors"),
        pytest.param(
            {name: shape for name, shape in adapter_tensors().items() if name != Q},
            BASE,
            "the adapter's file has only one of the two matrices of model.layers.0.self_attn",
            id="half of one",
        ),
        pytest.param(
            {**adapter_tensors(), "base_model.model.model.embed_tokens.weight": (100, 16)},
            BASE,
            "the adapter's file has 1 tensor that its config does not describe (base_model.model.",
            id="weights of the base model",
        ),
        pytest.param(
            adapter_tensors(rank=8),
            BASE,
            "have the shapes [8, 16] and [16, 8], but its config has r: 4",
            id="another rank",
        ),
        pytest.param(
            adapter_tensors(),
            tensors_of({**LLAMA, "hidden_size": 32}),
            "change a weight of [16, 16], but the base model's has [32, 32]",
            id="a larger base model",
        ),
        pytest.param(
            adapter_tensors(config={**LLAMA, "num_hidden_layers": 3}),
            BASE,
            "the base model has no model.layers.2.self_attn.q_proj, model.layers.2.self_attn.v",
            id="a base model of fewer layers",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tensors: Mapping[str, tuple[int, ...]], base: Mapping[str, tuple[int, ...]], sentence: str
) -> None:
    assert sentence in misfit(tensors, base)


@pytest.mark.parametrize(
    ("tensors", "base", "changed"),
    [
        pytest.param(adapter_tensors(), BASE, {}, id="a fitting base"),
        pytest.param(adapter_tensors(), {}, {}, id="an unknown base"),
        pytest.param(
            adapter_tensors(),
            {f"transformer.{name}": shape for name, shape in BASE.items()},
            {},
            id="a base whose files have other names",
        ),
        pytest.param(
            {**adapter_tensors(), "base_model.model.lm_head.weight": (100, 16)},
            BASE,
            {"modules_to_save": ["lm_head"]},
            id="a head that was trained too",
        ),
        pytest.param(
            {
                **adapter_tensors(),
                "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": (2, 16),
            },
            BASE,
            {"trainable_token_indices": [98, 99]},
            id="rows of tokens",
        ),
        pytest.param(
            {**adapter_tensors(), Q.replace("lora_A.weight", "lora_magnitude_vector"): (16,)},
            BASE,
            {"use_dora": True},
            id="DoRA",
        ),
        pytest.param(adapter_tensors(rank=8), BASE, {"rank_pattern": {"proj": 8}}, id="a pattern"),
    ],
)
def test_tensors_that_fit_are_accepted(
    tensors: Mapping[str, tuple[int, ...]],
    base: Mapping[str, tuple[int, ...]],
    changed: Mapping[str, Any],
) -> None:
    assert misfit(tensors, base, **changed) == ""
