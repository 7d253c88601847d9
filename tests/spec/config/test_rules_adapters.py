# SPDX-License-Identifier: Apache-2.0
"""Values that must agree: an adapter in place of a model."""

from typing import Any

import pytest

from support.config_verdicts import refusals

CONTINUE = {"adapter_as_model": "continue"}
MERGE = {"adapter_as_model": "merge"}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"adapter_base_model": "org/base"},
            "adapter_base_model: has no effect without adapter_as_model: set it to continue or "
            "merge if model_name_or_path names an adapter, or remove adapter_base_model",
            id="a base without an adapter",
        ),
        pytest.param(
            {**CONTINUE, "use_peft": False},
            "use_peft: found false, but adapter_as_model: continue trains an adapter: remove "
            "use_peft, or set adapter_as_model: merge to train the full model",
            id="full training of an adapter",
        ),
        pytest.param(
            {**CONTINUE, "added_tokens": ["<|tool|>"]},
            "added_tokens: found together with adapter_as_model: continue, which cannot add tokens "
            "to an adapter: remove it, or set adapter_as_model: merge",
            id="more tokens",
        ),
        pytest.param(
            {**CONTINUE, "chat_template_path": "org/model"},
            'chat_template_path: found "org/model", another model, whose tokens would be added: '
            "with adapter_as_model: continue set it to a template's name or file, or remove it",
            id="another model's template",
        ),
        pytest.param(
            {**MERGE, "use_peft": True},
            "adapter_as_model: found merge together with use_peft: true, so that the new adapter "
            "would need a base model that is published nowhere: set merge_adapter: true to also "
            "publish the complete model, or adapter_as_model: continue to train the adapter itself",
            id="an adapter for nothing",
        ),
        pytest.param(
            {**CONTINUE, "trust_remote_code": True},
            "trust_remote_code: would run code of the base model that the adapter names: set "
            "adapter_base_model to the base model whose code you trust",
            id="a stranger's code",
        ),
        pytest.param(
            {**MERGE, "model_init_kwargs": {"trust_remote_code": True}},
            "model_init_kwargs: would run code of the base model that the adapter names: set "
            "adapter_base_model to the base model whose code you trust",
            id="a stranger's code in another key",
        ),
        pytest.param(
            {**CONTINUE, "num_layers_unfrozen": 2},
            "num_layers_unfrozen: found together with use_peft: true, which freezes every layer "
            "already: remove one of them",
            id="layers of the base",
        ),
        pytest.param(
            {"adapter_as_model": "contine"},
            'adapter_as_model: found "contine", did you mean continue?',
            id="a typing error",
        ),
    ],
)
def test_a_combination_that_does_not_work_is_refused(config: dict[str, Any], sentence: str) -> None:
    assert refusals(config) == [sentence]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONTINUE, id="alone"),
        pytest.param({**CONTINUE, "use_peft": True, "lora_r": 8}, id="with LoRA keys"),
        pytest.param({**CONTINUE, "lora_r": 8}, id="with a LoRA key that implies use_peft"),
        pytest.param({**CONTINUE, "load_in_4bit": True, "dtype": "bfloat16"}, id="on 4 bits"),
        pytest.param({**CONTINUE, "merge_adapter": True}, id="merged afterwards"),
        pytest.param({**CONTINUE, "chat_template_path": "chatml"}, id="a template by name"),
        pytest.param({**CONTINUE, "chat_template_path": "./a.jinja"}, id="a template's file"),
        pytest.param(
            {**CONTINUE, "trust_remote_code": True, "adapter_base_model": "org/base"},
            id="the code of a named base",
        ),
        pytest.param(MERGE, id="full training"),
        pytest.param({**MERGE, "added_tokens": ["<|tool|>"]}, id="merged, with more tokens"),
        pytest.param({**MERGE, "use_peft": True, "merge_adapter": True}, id="a new adapter"),
    ],
)
def test_a_combination_that_works_is_accepted(config: dict[str, Any]) -> None:
    assert refusals(config) == []
