# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers of the common families: transformers' own classes, with what each does to texts
before and behind its vocabulary, and a vocabulary that is learnt from a few lines.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LINES = (
    "The red lightship lies at pier 12, north of the old harbour.",
    "Where is it? It is there: soup and lentils, 3 or 4 of them, every day at 07:30.",
    "def greet(name):\n    return f'Ahoy, {name}!'\n\n\nprint(greet('you'))",
    "Grüße aus Köln, naïve café; 日本語の文章です。 Ещё немного текста.",
    "  two spaces, a tab\there, and\n- one\n- two\n",
)
_SIZE = 420

KINDS: Mapping[str, tuple[str, bool]] = {
    "bytes as GPT-2": ("GPT2Tokenizer", False),
    "bytes as Qwen": ("Qwen2Tokenizer", False),
    "bytes as Cohere": ("CohereTokenizer", False),
    "spaces as Llama 2": ("LlamaTokenizer", True),
    "spaces as Gemma": ("GemmaTokenizer", True),
}
"""The class, and whether bytes are its way out for what its vocabulary lacks."""


def a_tokenizer(kind: str, marks: Iterable[str] = ()) -> Any:
    """With `marks` as special tokens, and an end, a beginning and a padding of its own."""
    import transformers

    name, falls_back = KINDS[kind]
    family = getattr(transformers, name)
    tokenizer = family().train_new_from_iterator(_LINES * 20, _SIZE)
    if falls_back:
        learnt = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        pieces = dict.fromkeys([*learnt["vocab"], *(f"<0x{it:02X}>" for it in range(256))])
        merges = [tuple(each) for each in learnt["merges"]]
        tokenizer = family(vocab={it: n for n, it in enumerate(pieces)}, merges=merges)
    named = {"eos_token": tokenizer.eos_token or "</s>", "pad_token": "<pad>"}
    named |= {} if tokenizer.bos_token else {"bos_token": "<s>"}
    tokenizer.add_special_tokens(named)
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(set(marks))})
    return tokenizer


def a_model(place: Path, tokenizer: Any) -> Path:
    """A Llama of a few weights, saved together with the tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainer.tiny_models import LLAMA

    ids = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    config = LlamaConfig(vocab_size=len(tokenizer), **ids, **LLAMA)
    LlamaForCausalLM(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place
