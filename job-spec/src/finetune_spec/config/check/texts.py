# SPDX-License-Identifier: Apache-2.0
"""Texts with a fixed format: places, splits, templates, expressions. No I/O here.

Open-ended values stay open: a text is refused only if it fails everywhere.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_spec.config.check.chat_templates import check_chat_template
from finetune_spec.config.check.functions import check_function_name
from finetune_spec.config.check.places import check_data_place, check_hub_name, check_place
from finetune_spec.config.parse.data_formats import columns_of_template
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, quoted, warning
from finetune_spec.config.suggest.misreadings import NULL_WORDS, WRITE_NULL, names_in

_PAIR = re.compile(r"(\w+)\s*[=:]\s*([^\s,=:]+)")

_LONGEST_HINTED = 300
"""Characters of a text that may have been meant as pairs; finding them takes quadratic time."""

_SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
_SPLIT_SLICE = re.compile(
    r"(?P<split>\w+(\.\w+)*)"
    r"(\[((?P<start>-?\d+(_\d+)*)(?P<start_unit>%)?)?:"
    r"((?P<end>-?\d+(_\d+)*)(?P<end_unit>%)?)?\])?"
    r"(\([^)]*\))?"
)

_LONGEST_BOUNDARY = 18
"""Digits of a row's number."""

_LONGEST_TARGET = 1000
"""Characters of an expression for the names of modules."""

_INNER_LAYER = re.compile(
    r"([qkvo]|qkv|out|in|x|dt|gate|up|down|gate_up|c)_proj|query_key_value|query|key|value|"
    r"dense(_h_to_4h|_4h_to_h)?|c_attn|c_fc|fc[12]|w[123]|Wqkv"
)
"""Names of layers that no model has at its top level: by themselves they match no module path."""

_LISTED = re.compile(r"\[([\w.\-'\", ]+)\]")
"""A list that was put in quotes; as a regular expression it would match one character."""

_TRUTH_WORDS = frozenset(("yes", "no", "true", "false", "t", "f", "y", "n", "1", "0"))
"""The words that TRL's parser accepts for true or false, in any case."""


def check_split_name(name: str, text: str) -> Iterator[Problem]:
    """TRL looks up the split by its name in the loaded dataset."""
    if _SPLIT_NAME.fullmatch(text):
        return
    hint = ""
    if _is_split_expression(text):
        hint = ": slices are only supported in the split of an entry of datasets"
    yield Problem(path=name, message=f"found {quoted(text)}, expected the name of a split{hint}")


def check_split_expression(name: str, text: str) -> Iterator[Problem]:
    if not _is_split_expression(text):
        yield Problem(
            path=name,
            message=f"found {quoted(text)}, expected a split, such as train, train[:10%] or "
            "train+test",
        )


def _is_split_expression(text: str) -> bool:
    # Without a regular expression, which would try each blank around a sign as the first.
    first, *others = text.split("+")
    parts = [first.rstrip(), *(part.strip() for part in others[:-1])] if others else [first]
    parts += [others[-1].lstrip()] if others else []
    return all(_is_split_slice(part) for part in parts)


def _is_split_slice(text: str) -> bool:
    part = _SPLIT_SLICE.fullmatch(text)
    if part is None:
        return False
    is_percent = part["start_unit"] or part["end_unit"]
    written = [part[side] for side in ("start", "end") if part[side]]
    if any(len(number) > _LONGEST_BOUNDARY for number in written):
        return False
    boundaries = [int(number) for number in written]
    return not is_percent or all(abs(boundary) <= 100 for boundary in boundaries)


def check_target(name: str, text: str) -> Iterator[Problem]:
    """A single text is a regular expression for the complete path of a module, even in a list."""
    if len(text) > _LONGEST_TARGET:
        message = f"has {len(text)} characters, expected at most {_LONGEST_TARGET}: list the names"
        yield Problem(path=name, message=message)
    elif listed := _LISTED.fullmatch(text.strip()):
        names = [name.strip(" '\"") for name in listed[1].split(",")]
        yield Problem(
            path=name,
            message=f"found {quoted(text)}, a string, expected a list: write {json.dumps(names)}",
        )
    elif len(names := names_in(text)) > 1:
        yield Problem(
            path=name, message=f"found {quoted(text)}, expected a list: write {json.dumps(names)}"
        )
    elif text.lower() in NULL_WORDS - {""}:
        yield Problem(path=name, message=_null_word(text))
    elif _INNER_LAYER.fullmatch(text):
        yield Problem(
            path=name,
            message=f"found {quoted(text)} alone, which PEFT matches against the full path of a "
            f"module: write {quoted('.*' + text)}, or list two or more names",
        )
    elif text.lower().replace("_", "-") in ("all-linear", "all") and text != "all-linear":
        yield Problem(path=name, message=f'found {quoted(text)}, did you mean "all-linear"?')
    else:
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError):
            hint = f": write {quoted(re.sub(r'(?<![.)])[*]', '.*', text))}" if "*" in text else ""
            yield Problem(
                path=name,
                message=f"found {quoted(text)}, expected a list of names or a regular "
                f"expression{hint}",
            )


def check_targets(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    if key == "lora_target_modules" and isinstance(value, list) and len(value) == 1:
        (value,) = value  # The same as in TRL.
    if key == "lora_target_modules" and isinstance(value, str):
        yield from check_target(name, value)


def check_optimizer_arguments(name: str, text: str) -> Iterator[Problem]:
    pairs = text.replace(" ", "").split(",")
    if text and any(pair.count("=") != 1 for pair in pairs):
        yield Problem(
            path=name,
            message=f"found {quoted(text)}, expected pairs with commas between, such as "
            "rank=64,scale=0.25",
        )


def check_mapping_text(name: str, text: str) -> Iterator[Problem]:
    """A mapping written as JSON."""
    if not text.startswith("{"):
        hint = WRITE_NULL if text.lower() in NULL_WORDS else _as_mapping(text)
        yield Problem(
            path=name, message=f"found {quoted(text)}, a string, expected a mapping: {hint}"
        )
    else:
        yield from check_mapping_or_file(name, text)


def _as_mapping(text: str) -> str:
    pairs = _PAIR.findall(text) if len(text) <= _LONGEST_HINTED else []
    inside = ", ".join(
        f"{name}: {value.lower() if value in ('True', 'False') else value}" for name, value in pairs
    )
    return f"write {{{inside}}}" if pairs else "write {name: value}"


def check_mapping_or_file(name: str, text: str) -> Iterator[Problem]:
    """A mapping written as JSON, or the path of a JSON file in the trainer's image."""
    if text.lower() in NULL_WORDS - {""}:
        yield Problem(path=name, message=_null_word(text))
    elif text.startswith("{"):
        try:
            parse_object(text, "it")
        except InvalidDocument as error:
            is_json = "is not JSON" not in str(error)
            what = f"and {error}" if is_json else "a string that is not JSON, expected a mapping"
            hint = "" if is_json else ": remove the quotes"
            yield Problem(path=name, message=f"found {quoted(text)}, {what}{hint}")


def check_padding(name: str, text: str) -> Iterator[Problem]:
    if text != "auto" and text.lower() not in ("none", "null") and not text.strip().isdecimal():
        yield Problem(
            path=name, message=f'found {quoted(text)}, expected a whole number, "auto" or null'
        )


def check_tokens_seen(name: str, text: str) -> Iterator[Problem]:
    if text.lower() not in _TRUTH_WORDS:
        yield Problem(
            path=name,
            message=f"found {quoted(text)}, expected true or false, the only values that TRL's "
            "parser accepts here",
        )


def check_template(name: str, text: str) -> Iterator[Problem]:
    """A template without a column would make all rows equal."""
    try:
        columns = columns_of_template(text)
    except ValueError as error:
        yield Problem(path=name, message=f"found {error}")
    else:
        if not columns:
            yield Problem(
                path=name,
                message=f"found {quoted(text)}, expected columns of the data in braces, such as "
                "{question}",
            )


def check_null_word(name: str, text: str) -> Iterator[Problem]:
    if text.lower() in NULL_WORDS - {""}:
        yield Problem(path=name, message=_null_word(text))


def advise_on_null_word(name: str, text: str) -> Iterator[Problem]:
    if text.lower() in NULL_WORDS - {""}:
        yield warning(name, f"the string {quoted(text)} is not null: leave the key out for that")


def _null_word(text: str) -> str:
    return f"found {quoted(text)}, a string: {WRITE_NULL}"


FORMS: Mapping[str, Callable[[str, str], Iterator[Problem]]] = {
    "accelerator_config": check_mapping_or_file,
    "activation_checkpointing_kwargs": check_mapping_text,
    "adapter_base_model": check_place,
    "chat_template_path": check_chat_template,
    "completion_template": check_template,
    "dataset_config": check_null_word,
    "dataset_kwargs": check_mapping_text,
    "dataset_columns": check_mapping_text,
    "dataset_name": check_data_place,
    "dataset_test_split": check_split_name,
    "dataset_train_split": check_split_name,
    "deepspeed": check_mapping_or_file,
    "eos_token": advise_on_null_word,
    "fsdp_config": check_mapping_or_file,
    "gradient_checkpointing_kwargs": check_mapping_text,
    "hub_model_id": check_hub_name,
    "hub_revision": advise_on_null_word,
    "include_num_input_tokens_seen": check_tokens_seen,
    "lr_scheduler_kwargs": check_mapping_text,
    "metric_fn": check_function_name,
    "metric_for_best_model": check_null_word,
    "model_init_kwargs": check_mapping_text,
    "model_name_or_path": check_place,
    "optim_args": check_optimizer_arguments,
    "pad_to_multiple_of": check_padding,
    "pad_token": advise_on_null_word,
    "prompt_template": check_template,
    "run_name": advise_on_null_word,
}
"""Key -> the check of its text."""


def check_form(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    form = FORMS.get(key)
    if form is not None and isinstance(value, str):
        yield from form(name, value)


TEXT_CHECKS = (check_form, check_targets)
