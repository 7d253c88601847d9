# SPDX-License-Identifier: Apache-2.0
"""The models in the jobs of the cases, each with its special feature."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.model_folders import POINTER
from trainer.in_process import train
from trainer.tiny_models import a_model, a_seeing_model, with_beginning, with_template

MIXTURE: Mapping[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "head_dim": 8,
    "decoder_sparse_step": 1,
}
ATTENTION_OF_GPT_OSS: Mapping[str, Any] = {
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "head_dim": 8,
}
BEGIN_OF_TEXT = "<|begin_of_text|>"


class Models:
    """Creates each model once."""

    def __init__(self, place: Path, tiny: Path) -> None:
        self._place, self._tiny = place, tiny

    def called(self, name: str) -> Path:
        """The directory of the model with this name in a job."""
        if name == "tiny":
            return self._tiny
        place = self._place / name
        if not place.exists():
            _MAKERS[name](self._tiny, place)
        return place


def _without_head(tiny: Path, place: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, place)
    weights = load_file(place / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, place / "model.safetensors", {"format": "pt"})


def _in_4_bits(tiny: Path, place: Path) -> None:
    """As unsloth publishes them: quantized by bitsandbytes, and saved in that form."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    # Its matrices are multiples of bitsandbytes' blocks.
    whole = a_model(place.with_name("whole"), hidden_size=64, intermediate_size=128)
    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    shutil.copytree(whole, place)
    model = AutoModelForCausalLM.from_pretrained(whole, quantization_config=four_bits)
    model.save_pretrained(place)


def _an_adapter(tiny: Path, place: Path) -> None:
    _publish(tiny, place, "adapter")


def _a_merged_model(tiny: Path, place: Path) -> None:
    _publish(tiny, place, "model", merge_adapter=True)


def _publish(tiny: Path, place: Path, part: str, **config: Any) -> None:
    """A part of what an earlier run published: its adapter, or its merged model."""
    work = place.with_name(f"{place.name}-work")
    work.mkdir()
    (work / "train.jsonl").write_text('{"text": "Boats lie at piers."}\n' * 4)
    shutil.copytree(train(work, tiny, work / "train.jsonl", **config).published / part, place)


def _an_encoder(tiny: Path, place: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    AutoTokenizer.from_pretrained(tiny).save_pretrained(place)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(num_hidden_layers=1, **sizes)).save_pretrained(place)


def _more_tokens(tiny: Path, place: Path) -> None:
    from transformers import AutoTokenizer

    shutil.copytree(tiny, place)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.add_tokens(["<tool>", "</tool>"])
    tokenizer.save_pretrained(place)


def _llama_3(tiny: Path, place: Path) -> None:
    """Its template, and a tokenizer that begins every text with a BOS token.

    The names of the tokens are those of the data, on ids that SmolLM2's vocabulary has.
    """
    from transformers import AutoTokenizer

    named = place.with_name("named")
    shutil.copytree(tiny, named)
    names = {
        "<|im_start|>": "<|start_header_id|>",
        "<|im_end|>": "<|eot_id|>",
        "<repo_name>": BEGIN_OF_TEXT,
        "<reponame>": "<|end_header_id|>",
    }
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (named / file).exists():
            text = (named / file).read_text()
            for old, new in names.items():
                text = text.replace(old, new)
            (named / file).write_text(text)
    with_beginning(named, place, BEGIN_OF_TEXT)
    tokenizer = AutoTokenizer.from_pretrained(place)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + "
        "'<|end_header_id|>\n\n' }}{% if message.role == 'assistant' %}{% generation %}"
        "{{ message.content + '<|eot_id|>' }}{% endgeneration %}{% else %}"
        "{{ message.content + '<|eot_id|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
        "{% endif %}"
    )
    tokenizer.save_pretrained(place)


def _without_template(tiny: Path, place: Path) -> None:
    shutil.copytree(tiny, place)
    (place / "chat_template.jinja").unlink(missing_ok=True)
    file = place / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("chat_template", None)
    file.write_text(json.dumps(settings))


def _pointers(tiny: Path, place: Path) -> None:
    shutil.copytree(tiny, place)
    (place / "model.safetensors").write_text(POINTER)


def _gguf(tiny: Path, place: Path) -> None:
    place.mkdir()
    (place / "model-Q4_K_M.gguf").write_bytes(b"GGUF" + bytes(64))


_MAKERS: Mapping[str, Callable[[Path, Path], object]] = {
    "adapter": _an_adapter,
    "bert": _an_encoder,
    "bnb4": _in_4_bits,
    "gguf": _gguf,
    "lfs": _pointers,
    "merged": _a_merged_model,
    "moretok": _more_tokens,
    "nohead": _without_head,
    # PEFT has defaults for Phi 3 by now; it has none for Granite.
    "phi3": lambda tiny, place: a_model(place, "granite"),
    "pk-gpt_oss": lambda tiny, place: a_model(place, "gpt_oss", **ATTENTION_OF_GPT_OSS),
    "qwen3moe": lambda tiny, place: a_model(place, "qwen3_moe", **MIXTURE),
    "t-gemma": lambda tiny, place: with_template(tiny, place, "gemma"),
    "t-llama3": _llama_3,
    "t-notemplate": _without_template,
    "vlm": lambda tiny, place: a_seeing_model(place),
}
