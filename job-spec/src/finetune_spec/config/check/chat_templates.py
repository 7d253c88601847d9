# SPDX-License-Identifier: Apache-2.0
"""Chat templates that a config may use by name. No I/O here.

A name refers to a file that TRL ships (a test of the trainer compares them), or to `chatml`, which
the trainer ships.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from finetune_spec.config.check.places import check_place
from finetune_spec.config.problem import Problem, quoted
from finetune_spec.config.suggest.misreadings import NULL_WORDS, WRITE_NULL

NAMES = (
    "chatml",
    "cohere",
    "cohere2",
    "deepseek_r1_distill",
    "deepseekv3",
    "diffusion_gemma",
    "gemma",
    "gemma3",
    "gemma4",
    "gemma4_v2",
    "gemma4_v3",
    "gemma4_v4",
    "gemma4_v5",
    "glm4moe",
    "gptoss",
    "idefics3",
    "lfm2",
    "lfm2_2_5",
    "lfm2_2_5_v2",
    "lfm2_2_5_vl",
    "lfm2_v2",
    "llama3",
    "llama3_1",
    "llama3_2",
    "llava_next",
    "muse_glimmer",
    "nemotron_3_5_lightning",
    "nemotron_3_nano",
    "nemotron_3_super",
    "nemotron_3_ultra",
    "phi3",
    "phi3_5",
    "qwen2_5",
    "qwen2_5_vl",
    "qwen3",
    "qwen3_5_nothink",
    "qwen3_5_think",
    "qwen3_6",
    "qwen3_8",
    "qwen3_instruct_2507",
    "qwen3_vl",
    "smolvlm",
)

OTHER_NAMES: Mapping[str, str] = {
    "chat_ml": "chatml",
    "im_start": "chatml",
    "llama": "llama3",
    "llama_3": "llama3",
    "phi": "phi3",
    "qwen": "qwen3",
    "qwen2": "qwen2_5",
    "qwen25": "qwen2_5",
    "qwen_25": "qwen2_5",
    "default": "",
    "auto": "",
    "tokenizer_default": "",
}
"""Names of these templates in other tools; empty for the model's own."""

_OF_A_TEMPLATE = ("{%", "{{")
_OTHER_ENDINGS = (".jinja2", ".txt", ".tmpl", ".tpl", ".template", ".json", ".yaml", ".yml")
_EXPECTED = (
    "expected chatml, a template of TRL's by name (such as gemma3, llama3, phi3 or qwen3), a file "
    "that ends in .jinja or .j2, or a tokenizer: a directory or a hub name such as org/name"
)


def check_chat_template(name: str, text: str) -> Iterator[Problem]:
    """A name, a file or a tokenizer; any other single word is a misspelt name."""
    if text.lower() in NULL_WORDS - {""}:
        yield Problem(path=name, message=f"found {quoted(text)}, a string: {WRITE_NULL}")
    elif any(mark in text for mark in _OF_A_TEMPLATE):
        yield Problem(
            path=name,
            message=f"found {quoted(text)}, which is a template itself: write it to a file that "
            "ends in .jinja, and set its path here",
        )
    elif _is_file_or_place(text):
        if text.lower().endswith(_OTHER_ENDINGS):
            yield Problem(path=name, message=f"found {quoted(text)}, {_EXPECTED}")
        elif "://" in text:
            yield from check_place(name, text)
    elif text not in NAMES:
        yield Problem(path=name, message=f"found {quoted(text)}, {_meant(text) or _EXPECTED}")


def _is_file_or_place(text: str) -> bool:
    is_path = "/" in text or "\\" in text or text.startswith((".", "~"))
    return is_path or PurePosixPath(text).suffix in (".jinja", ".j2", *_OTHER_ENDINGS)


def _meant(text: str) -> str:
    word = text.strip().lower()
    for mark in "- .":
        word = word.replace(mark, "_")
    if OTHER_NAMES.get(word) == "":
        return "leave the key out for the model's own chat template"
    word = OTHER_NAMES.get(word, word.removesuffix("_training"))
    nearest = difflib.get_close_matches(word, NAMES, n=1, cutoff=0.7)
    return f"did you mean {nearest[0]}?" if nearest else ""
