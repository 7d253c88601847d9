# SPDX-License-Identifier: Apache-2.0
"""Models with a few random weights for tests, with SmolLM2's own tokenizer and chat template."""

import shutil
from pathlib import Path
from typing import Any

from finetune_trainer.inputs.chat_templates import file_of
from testbed import base_model

LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}

_SIDE, _PATCH = 28, 14
_IMAGE_TOKEN = "<image>"
_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n"
    "{% if turn.content is string %}{{ turn.content }}{% else %}{% for part in turn.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_ENDINGS = (
    "<end_of_turn>",
    "<|eot_id|>",
    "<|END_OF_TURN_TOKEN|>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)


def a_model(place: Path, model_type: str = "llama", **sizes: Any) -> Path:
    """One of transformers' architectures; `sizes` are added to those of a small Llama."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.save_pretrained(place)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{**LLAMA, **sizes},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(place)
    return place


def a_tokenizer(place: Path, token: str) -> Path:
    """SmolLM2's, with an additional token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.add_tokens([token])
    tokenizer.save_pretrained(place)
    return place


def with_template(model: Path, place: Path, name: str) -> Path:
    """A copy of the model with one of TRL's templates as its own.

    Turns end with a token that the model has: an answer whose end is several tokens is refused.
    """
    from transformers import AutoTokenizer

    template = file_of(name)
    assert template is not None, name
    text = template.read_text()
    for ending in _ENDINGS:
        text = text.replace(ending, "<|im_end|>")
    shutil.copytree(model, place, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(place)
    tokenizer.chat_template = text
    tokenizer.save_pretrained(place)
    return place


def with_beginning(model: Path, place: Path, token: str) -> Path:
    """A copy of the model whose tokenizer adds this token before every text."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    shutil.copytree(model, place, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(place, bos_token=token)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A {token} $B",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))],
    )
    tokenizer.save_pretrained(place)
    return place


def a_seeing_model(place: Path) -> Path:
    """A Llava, whose processor resizes real pixels, and writes as many image tokens as it sees."""
    import torch
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.add_special_tokens({"additional_special_tokens": [_IMAGE_TOKEN]})
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE,
    ).save_pretrained(place)
    layers = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=_SIDE, patch_size=_PATCH, **layers),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            num_key_value_heads=2,
            max_position_embeddings=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **layers,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE_TOKEN),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(place)
    return place
