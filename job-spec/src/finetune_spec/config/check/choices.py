# SPDX-License-Identifier: Apache-2.0
"""Values from a fixed set of names. No I/O here.

The names of most keys are in the schema. The others are listed here, from the sources that would
refuse other names.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, did_you_mean, quoted
from finetune_spec.config.suggest.misreadings import NULL_WORDS, TRUE_WORDS, WRITE_NULL, names_in
from finetune_spec.config.suggest.tables import choice_habits

_MOST_NAMED = 16
"""A longer list does not fit into a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNames:
    """The names that a text may have if the schema lists none."""

    known: tuple[str, ...]
    pattern: re.Pattern[str] | None = None
    """Other accepted texts."""
    is_any_case: bool = False


NAMES: Mapping[str, KnownNames] = {
    "attn_implementation": KnownNames(
        known=(
            "eager",
            "sdpa",
            "flash_attention_2",
            "flash_attention_3",
            "flash_attention_4",
            "flex_attention",
        ),
        # A kernel of the hub, or an older spelling with a prefix.
        pattern=re.compile(r"[^/:]+/[^/:]+(:[^/:]+)?|paged\|.+"),
    ),
    "bnb_4bit_quant_storage": KnownNames(
        known=("uint8", "int8", "bfloat16", "float16", "float32", "float64")
    ),
    "lora_task_type": KnownNames(
        known=(
            "CAUSAL_LM",
            "SEQ_CLS",
            "SEQ_2_SEQ_LM",
            "TOKEN_CLS",
            "QUESTION_ANS",
            "FEATURE_EXTRACTION",
        )
    ),
    "torch_compile_backend": KnownNames(
        known=(
            "inductor",
            "eager",
            "aot_eager",
            "cudagraphs",
            "onnxrt",
            "tensorrt",
            "tvm",
            "no",
            "aot_ts_nvfuser",
            "nvprims_nvfuser",
            "ofi",
            "fx2trt",
            "aot_torchxla_trace_once",
            "torchxla_trace_once",
            "hpu_backend",
            "neuron",
        ),
        is_any_case=True,
    ),
    "torch_compile_mode": KnownNames(
        known=("default", "lite", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
    ),
}

TRACKERS = (
    "azure_ml",
    "clearml",
    "codecarbon",
    "comet_ml",
    "dagshub",
    "dvclive",
    "flyte",
    "kubeflow",
    "mlflow",
    "neptune",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
)
_ALONE = ("all", "none")
"""Values of `report_to` that are not trackers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordList:
    """A text of one or more names."""

    known: tuple[str, ...]
    instead: str
    """The notation of several names."""
    is_split: bool = True
    """Whether the text may contain several names, separated by blanks."""
    is_switch: bool = False
    """Whether true, false and null are accepted too."""


WORDS: Mapping[str, WordList] = {
    "fsdp": WordList(
        known=(
            "full_shard",
            "shard_grad_op",
            "no_shard",
            "hybrid_shard",
            "hybrid_shard_zero2",
            "offload",
            "auto_wrap",
        ),
        instead="separated by spaces",
        is_switch=True,
    ),
    "debug": WordList(
        known=("underflow_overflow", "tpu_metrics_debug"),
        instead="or a list of them",
        is_split=False,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A value that is none of the names, with the material for a suggestion."""

    value: Any
    known: Collection[str]
    habits: Mapping[str, str] = field(default_factory=dict)
    is_nullable: bool = False
    default: Any = None

    @property
    def message(self) -> str:
        return f"found {quoted(self.value)}{self._hint()}"

    def _hint(self) -> str:
        if self.value is None:
            default = "" if self.default is None else f" for the default, {quoted(self.default)}"
            return f"{self._expected()}: leave the key out{default}"
        if self.value is False and "no" in self.known:
            return ': write "no" in quotes, since YAML reads the bare word as false'
        if not isinstance(self.value, str):
            return self._expected()
        word = self.value.strip().lower()
        if word in self.habits and self.habits[word] in self.known:
            return f", did you mean {_bare(self.habits[word])}?"
        if word in NULL_WORDS:
            hint = WRITE_NULL if self.is_nullable else "leave the key out"
            return f", a string{self._expected()}: {hint}"
        plain = {name.lower().replace("-", "_"): name for name in self.known}
        if (same := plain.get(word.replace("-", "_").replace(" ", "_"))) is not None:
            return f", did you mean {_bare(same)}?"
        return did_you_mean(word, self.known) or self._expected()

    def _expected(self) -> str:
        named = [_bare(name) for name in self.known]
        if len(named) > _MOST_NAMED:
            rest = len(named) - _MOST_NAMED
            return f", expected one of {', '.join(named[:_MOST_NAMED])} and {rest} others"
        return f", expected one of {', '.join(named)}"


def _bare(name: str) -> str:
    """A name quoted for YAML: a bare `no` would be false."""
    return '"no"' if name == "no" else name


def check_choice(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    choices = schema.properties[key].get("enum")
    if not choices or value in choices:
        return
    yield Problem(
        path=name,
        message=Choice(
            value=value,
            known=[choice for choice in choices if isinstance(choice, str)],
            habits=choice_habits().get(key, {}),
            is_nullable=None in choices,
            default=schema.default(key),
        ).message,
    )


def check_name(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    names = NAMES.get(key)
    if names is None or not isinstance(value, str):
        return
    is_known = (value.lower() if names.is_any_case else value) in names.known
    if is_known or (names.pattern is not None and names.pattern.fullmatch(value)):
        return
    choice = Choice(
        value=value,
        known=names.known,
        habits=choice_habits().get(key, {}),
        is_nullable="null" in schema.types(key),
    )
    yield Problem(path=name, message=choice.message)


def check_words(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    words = WORDS.get(key)
    if words is not None and isinstance(value, list) and words.is_split:
        value = " ".join(map(str, value))
    if words is None or not isinstance(value, str):
        return
    found = value.split() if words.is_split else [value]
    unknown = [word for word in found if word.lower() not in words.known]
    if not unknown:
        return
    yield Problem(path=name, message=f"found {quoted(value)}{_hint_for_words(value, words)}")


def _hint_for_words(text: str, words: WordList) -> str:
    several = names_in(text)
    if len(several) > 1 and all(word in words.known for word in several):
        return f", did you mean {quoted(' '.join(several) if words.is_split else several)}?"
    if text.lower() in NULL_WORDS:
        return f", a string: {WRITE_NULL if words.is_switch else 'leave the key out'}"
    if words.is_switch and text.lower() in TRUE_WORDS:
        return ", a string: write true, without quotes"
    unknown = next(word for word in [*text.split(), text] if word not in words.known)
    return did_you_mean(unknown, words.known) or (
        f", expected {', '.join(words.known)}, {words.instead}"
    )


def check_trackers(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    if key != "report_to" or value in (*_ALONE, ["all"], ["none"]):
        return
    if isinstance(value, str):
        several = names_in(value)
        if len(several) > 1:
            listed = quoted(several)
            yield Problem(path=name, message=f"found {quoted(value)}, expected a list: {listed}")
        elif value not in TRACKERS:
            yield Problem(path=name, message=_no_tracker(value))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if item in _ALONE:
                yield Problem(
                    path=f"{name}[{index}]",
                    message=f"found {quoted(item)} together with other values, expected it alone",
                )
            elif item not in TRACKERS:
                yield Problem(path=f"{name}[{index}]", message=_no_tracker(item))


def _no_tracker(value: Any) -> str:
    known = (*TRACKERS, *_ALONE)
    return Choice(value=value, known=known, habits=choice_habits()["report_to"]).message


CHOICE_CHECKS = (check_choice, check_name, check_words, check_trackers)
