# SPDX-License-Identifier: Apache-2.0
"""An adapter on matrices of Mamba that cannot have one is refused, and the others are named."""

from collections.abc import Mapping
from typing import Any

import pytest

from spec.base_model.checked_models import LORA, of, told


@pytest.mark.parametrize(
    ("config", "model", "messages"),
    [
        pytest.param(
            LORA,
            of("mamba2", "Mamba2ForCausalLM"),
            "use_peft: found true without lora_target_modules, but PEFT has no default targets "
            'for models of type "mamba2": set lora_target_modules: ".*in_proj"',
            id="Mamba can't have all",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": "all-linear"},
            of("mamba", "MambaForCausalLM"),
            "lora_target_modules: found all-linear, and PEFT puts no adapter on out_proj or conv1d "
            "of Mamba's layers, which read them past it: set lora_target_modules: [in_proj, "
            "x_proj]",
            id="all of Mamba's",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["q_proj", "mamba.out_proj"]},
            of("falcon_h1", "FalconH1ForCausalLM"),
            "lora_target_modules: found mamba.out_proj, and PEFT puts no adapter on out_proj or "
            "conv1d of Mamba's layers, which read them past it: set lora_target_modules: [q_proj, "
            "k_proj, v_proj, o_proj, in_proj, gate_proj, up_proj, down_proj]",
            id="one of Mamba's by name",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": "all-linear"},
            of("nemotron_h", "NemotronHForCausalLM"),
            "lora_target_modules: found all-linear, and PEFT puts no adapter on out_proj or conv1d "
            "of Mamba's layers, which read them past it: set lora_target_modules: [q_proj, k_proj, "
            "v_proj, o_proj]",
            id="all of a hybrid's",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": "all-linear"},
            of("jamba", "JambaForCausalLM"),
            "",
            id="all of another hybrid's, which PEFT takes",
        ),
    ],
)
def test_matrices_that_cannot_have_an_adapter_are_refused_with_those_that_can(
    config: Mapping[str, Any], model: Mapping[str, Any], messages: str
) -> None:
    assert "\n".join(told(config, model)) == messages
