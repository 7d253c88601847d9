# SPDX-License-Identifier: Apache-2.0
"""The remedy for a library's error about a config: the keys that its message names.

Libraries name their own parameters, mostly by the names in the config, and missing packages. Pure:
the text of an error in, a remedy out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_spec.config.parse.schema import load_schema

_KEPT = frozenset({"env", "datasets", "columns", "seed", "optim", "packing"})
"""Keys that are also words of a sentence; they count only in quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Topic:
    """The subject of an error that names no key."""

    traces: re.Pattern[str]
    remedy: str


_TOPICS: Sequence[_Topic] = (
    _Topic(
        traces=re.compile(
            r"chat.?template|jinja|raise_exception|roles must alternate", re.IGNORECASE
        ),
        remedy="set chat_template_path to a template that takes such conversations, such as "
        "chatml, or write the conversations as the template requires",
    ),
    _Topic(
        traces=re.compile(r"[Tt]arget modules? .*not found|No modules were targeted"),
        remedy="set lora_target_modules: all-linear",
    ),
    _Topic(
        traces=re.compile(
            r"flash.?attention|flash_attn|FlashAttention|sdpa|kernels", re.IGNORECASE
        ),
        remedy="leave attn_implementation out",
    ),
    _Topic(
        traces=re.compile(r"bitsandbytes|quantiz", re.IGNORECASE),
        remedy="leave load_in_4bit and load_in_8bit out, and the other keys of quantization",
    ),
    _Topic(
        traces=re.compile(r"pip install|is not installed|requires the .*librar|No module named"),
        remedy="set spec.image to an image that has the package too, or leave out what needs it",
    ),
    _Topic(
        traces=re.compile(r"optimizer", re.IGNORECASE),
        remedy="leave optim and optim_args out: adamw_torch_fused needs nothing else",
    ),
)

_LAST_RESORT = (
    "remove the keys that the message is about from config; if it names none, keep only "
    "model_name_or_path, dataset_name and max_length, and add the other keys again one by one"
)


def remedy_for(objection: str) -> str:
    """The remedy, as far as the error names its subject."""
    if keys := keys_named_in(objection):
        them = "it" if len(keys) == 1 else "them"
        return f"change {' and '.join(keys)} as described in the message, or leave {them} out"
    topic = next((topic for topic in _TOPICS if topic.traces.search(objection)), None)
    return _LAST_RESORT if topic is None else topic.remedy


def keys_named_in(objection: str) -> tuple[str, ...]:
    """The config's keys in a library's message, in its order."""
    found = re.findall(r"(?<![\w./-])(?:--)?[`'\"]?([a-z][a-z0-9]*(?:_[a-z0-9]+)*)\b", objection)
    known = load_schema().properties
    named = [word for word in found if word in known and _is_meant(word, objection)]
    return tuple(dict.fromkeys(named))[:3]


def _is_meant(word: str, objection: str) -> bool:
    if "_" in word and word not in _KEPT:
        return True
    return re.search(rf"[`'\"]{word}(=\S+)?[`'\"]|--{word}\b|\b{word}=", objection) is not None
