# SPDX-License-Identifier: Apache-2.0
"""The contents of mappings and lists: `env`, `datasets`, the names in a list. No I/O here.

A path names the exact place, such as `datasets[0].path`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.check import places, texts
from finetune_spec.config.check.ranges import NOT_NEGATIVE, check_number
from finetune_spec.config.check.values import kind_of, wrong_type
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, did_you_mean, quoted, warning

ENV = "env"
_ENV_WORDS = 'a mapping of names to values, such as {"HF_HOME": "/cache"}'

_FIELD_HABITS = {
    "config": "name",
    "dataset_config": "name",
    "dataset_id_or_path": "path",
    "dataset_name": "path",
    "files": "data_files",
    "probability": "fraction",
    "ratio": "fraction",
    "subset": "name",
    "weight": "fraction",
}
"""Common names in an entry of `datasets` -> TRL's names."""

_ALSO_TAKES = {"columns": ["string"]}
"""Where `datasets` accepts more types than TRL annotates."""

_FIELD_FORMS: Mapping[str, Callable[[str, str], Iterator[Problem]]] = {
    "path": places.check_data_place,
    "split": texts.check_split_expression,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a mapping that transformers or TRL read."""

    names: tuple[str, ...]
    prefix: str = ""
    """An optional prefix of each name."""
    ignores_others: bool = True


OPTIONS: Mapping[str, Options] = {
    "accelerator_config": Options(
        names=(
            "split_batches",
            "dispatch_batches",
            "even_batches",
            "use_seedable_sampler",
            "non_blocking",
            "gradient_accumulation_kwargs",
            "use_configured_state",
        ),
        ignores_others=False,
    ),
    "dataset_kwargs": Options(names=("skip_prepare_dataset",)),
    "fsdp_config": Options(
        names=(
            "version",
            "activation_checkpointing",
            "auto_wrap_policy",
            "backward_prefetch",
            "cpu_offload",
            "cpu_ram_efficient_loading",
            "forward_prefetch",
            "limit_all_gathers",
            "min_num_params",
            "reshard_after_forward",
            "state_dict_type",
            "sync_module_states",
            "transformer_layer_cls_to_wrap",
            "use_orig_params",
            "xla",
            "xla_fsdp_grad_ckpt",
            "xla_fsdp_settings",
            "xla_fsdp_v2",
        ),
        prefix="fsdp_",
    ),
}
"""Key -> the options that its mapping may have. Other mappings are passed on unchecked."""


def check_environment(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    """The values may be secrets: no message shows one."""
    if key != ENV:
        return
    if not isinstance(value, Mapping):
        yield Problem(path=name, message=f"found {kind_of(value)}, expected {_ENV_WORDS}")
        return
    for variable, content in value.items():
        path = f"{name}.{variable}"
        if not isinstance(variable, str):
            yield Problem(path=path, message="expected a string as a name: put it in quotes")
        elif not variable or "=" in variable or "\0" in variable:
            yield Problem(
                path=name, message=f"found the name {quoted(variable)}, expected one without ="
            )
        elif isinstance(content, str) and "\0" in content:
            yield Problem(
                path=path, message="contains a null byte, which environment variables cannot"
            )
        elif content is None:
            yield warning(path, 'null becomes the string "None": leave the variable out')
        elif isinstance(content, list | Mapping):
            yield warning(
                path, "is converted to a string as Python prints it: write the intended string"
            )


def check_datasets(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    if key != "datasets":
        return
    if not isinstance(value, list):
        yield Problem(path=name, message=f"found {quoted(value)}, expected a list{_as_list(value)}")
        return
    entry_schema = schema.properties[key].get("items") or {}
    for index, entry in enumerate(value):
        yield from _check_entry(f"{name}[{index}]", entry, entry_schema)


def _as_list(value: Any) -> str:
    match value:
        case None:
            return ": leave the key out"
        case str():
            return f": write {quoted([{'path': value}])}"
        case Mapping():
            return ": begin the entry with a dash"
    return ""


def _check_entry(path: str, entry: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(entry, Mapping):
        hint = f": write {quoted({'path': entry})}" if isinstance(entry, str) else ""
        yield Problem(path=path, message=f"found {quoted(entry)}, expected a mapping{hint}")
        return
    fields = schema.get("properties") or {}
    for field, value in entry.items():
        if field in fields:
            yield from _check_field(f"{path}.{field}", field, value, fields[field])
        elif fields:
            yield Problem(path=f"{path}.{field}", message=_not_a_field(field, entry, fields))
    for field in schema.get("required") or ():
        if field not in entry and not any(_FIELD_HABITS.get(other) == field for other in entry):
            yield Problem(
                path=f"{path}.{field}", message="missing: a hub name, a path or an s3:// URI"
            )


def _check_field(
    path: str, field: str, value: Any, definition: Mapping[str, Any]
) -> Iterator[Problem]:
    types = [*_ALSO_TAKES.get(field, ()), *definition.get("type", ())]
    if message := wrong_type(value, types, default=definition.get("default")):
        yield Problem(path=path, message=message)
    elif isinstance(value, str) and field in _FIELD_FORMS:
        yield from _FIELD_FORMS[field](path, value)
    elif isinstance(value, list):
        yield from _check_items(path, value, definition)
    elif field == "fraction":
        yield from check_number(path, value, NOT_NEGATIVE)


def _not_a_field(field: Any, entry: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    meant = _FIELD_HABITS.get(field, "")
    if meant and meant not in entry:
        return f"not a field of an entry of datasets, did you mean {meant}?"
    hint = did_you_mean(str(field), fields) or f", expected one of {', '.join(fields)}"
    return f"not a field of an entry of datasets{hint}"


def check_items(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    """The items of a list of texts."""
    if isinstance(value, list) and key != "datasets":
        yield from _check_items(name, value, schema.properties[key])


def _check_items(path: str, value: list[Any], definition: Mapping[str, Any]) -> Iterator[Problem]:
    types = (definition.get("items") or {}).get("type", ())
    for index, item in enumerate(value):
        if message := wrong_type(item, types):
            yield Problem(path=f"{path}[{index}]", message=message)


def check_options(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    options = OPTIONS.get(key)
    if options is None or not isinstance(value, Mapping):
        return
    for option in value:
        if str(option).removeprefix(options.prefix) in options.names or option in options.names:
            continue
        hint = did_you_mean(str(option), options.names) or (
            f", expected {', '.join(options.names)}"
        )
        yield Problem(
            path=f"{name}.{option}",
            message=f"not an option of {key}{', which is ignored' * options.ignores_others}{hint}",
            is_warning=options.ignores_others,
        )


NESTED_CHECKS = (check_environment, check_datasets, check_items, check_options)
