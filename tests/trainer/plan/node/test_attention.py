# SPDX-License-Identifier: Apache-2.0
"""Flash attention that an image lacks is reported immediately, not when the model is loaded."""

import pytest

from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.node.attention import PACKAGES, require_attention
from trainer.runs import a_parsed_run

ONLY_AS_PACKAGES = sorted({*PACKAGES} - {"flash_attention_2"})


@pytest.mark.parametrize("named", ONLY_AS_PACKAGES)
def test_flash_attention_missing_in_the_image_is_refused_before_anything_is_fetched(
    named: str,
) -> None:
    config = a_parsed_run(attn_implementation=named).config

    with pytest.raises(AttemptFailed) as refused:
        require_attention(config, lambda package: False)

    assert refused.value.failure.reason == "AttentionNotInstalled"
    assert f"lacks the package {PACKAGES[named]}" in refused.value.failure.message
    require_attention(config, lambda package: package == PACKAGES[named])
    require_attention(config, lambda package: package == "kernels")


@pytest.mark.parametrize("named", ONLY_AS_PACKAGES)
def test_attention_named_in_model_init_kwargs_is_checked_too(named: str) -> None:
    config = a_parsed_run(model_init_kwargs={"attn_implementation": named}).config

    with pytest.raises(AttemptFailed, match=f"lacks the package {PACKAGES[named]}"):
        require_attention(config, lambda package: False)


@pytest.mark.parametrize("named", ["sdpa", "eager", "flash_attention_2", None])
def test_torchs_own_attention_is_always_available(named: str | None) -> None:
    config = {} if named is None else {"attn_implementation": named}

    require_attention(a_parsed_run(**config).config, lambda package: False)
