# SPDX-License-Identifier: Apache-2.0
"""The fastest config with the same result: the keys that may differ, and those that may not."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_spec.speed.advice import find_advice
from finetune_spec.speed.operations import operations
from finetune_spec.speed.suggestion import suggest
from spec.speed.test_advice import KEPT, LORA, SMALL, a_situation

MAY_DIFFER = {
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "activation_checkpointing",
    "attn_implementation",
    "dataloader_num_workers",
}
"""None of them affects the rows of a step, their order, or any precision."""

CONFIGS = st.fixed_dictionaries(
    {
        "per_device_train_batch_size": st.integers(1, 32),
        "gradient_accumulation_steps": st.integers(1, 32),
        "max_length": st.sampled_from([256, 2048, 8192]),
    },
    optional={
        "use_peft": st.booleans(),
        "dtype": st.sampled_from(["bfloat16", "float32", "auto"]),
        "packing": st.booleans(),
        "activation_checkpointing": st.booleans(),
        "gradient_checkpointing": st.booleans(),
        "attn_implementation": st.sampled_from(["eager", "sdpa"]),
        "optim": st.sampled_from(["adamw_torch", "sgd"]),
    },
)


@given(config=CONFIGS, gpu=st.integers(4, 200), gpus=st.sampled_from([1, 2, 8]))
def test_a_suggestion_fits_and_changes_only_settings_that_keep_the_result(
    config: Mapping[str, Any], gpu: int, gpus: int
) -> None:
    before = a_situation(config, gpu=gpu, gpus=gpus, model=SMALL)
    found = suggest(before)
    if found is None:
        return

    after = before.adjusted(found.changes)
    assert set(found.changes) <= MAY_DIFFER
    assert after.config.effective_batch(gpus) == before.config.effective_batch(gpus)
    assert after.estimate == found.estimate
    assert found.estimate.total <= gpu * 1024**3
    assert found.config == {**config, **found.changes}
    # Nothing remains that would be faster.
    assert not [*find_advice(after, keeps_result=True)]
    if before.estimate.total <= gpu * 1024**3:
        slower = operations(before.model, before.strategy)
        assert operations(after.model, after.strategy) <= slower


def test_a_suggestion_never_changes_precision_or_packing() -> None:
    found = suggest(a_situation({"use_peft": True, "max_length": 2048}, gpu=141))

    assert found is not None
    assert not {"dtype", "packing", "bf16"} & set(found.changes)


def test_a_config_that_does_not_fit_is_reduced_by_its_batch_size() -> None:
    rows = {**LORA, "per_device_train_batch_size": 64}
    found = suggest(a_situation(rows, gpu=40))

    assert found is not None
    assert found.config["per_device_train_batch_size"] < 64
    assert (
        found.config["per_device_train_batch_size"] * found.config["gradient_accumulation_steps"]
        == 64
    )


def test_a_config_that_no_smaller_batch_makes_fit_gets_no_suggestion() -> None:
    assert suggest(a_situation({"dtype": "bfloat16"}, gpu=24)) is None


def test_the_fastest_config_is_unchanged() -> None:
    found = suggest(a_situation({**KEPT, "per_device_train_batch_size": 4}))

    assert found is not None
    assert not found.changes


@pytest.mark.parametrize("name", ["torch_dtype", "per_gpu_train_batch_size"])
def test_a_users_older_spellings_are_kept(name: str) -> None:
    value = {"torch_dtype": "bfloat16", "per_gpu_train_batch_size": 1}[name]
    rows = {"max_length": 2048, "packing": True, "use_peft": True, "dtype": "bfloat16"}
    rows.pop("dtype" if name == "torch_dtype" else "", None)
    found = suggest(a_situation({**rows, name: value, "gradient_accumulation_steps": 8}, gpu=141))

    assert found is not None
    assert name in found.config
    assert not {"dtype", "per_device_train_batch_size"} & (set(found.config) - set(rows) - {name})
