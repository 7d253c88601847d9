# SPDX-License-Identifier: Apache-2.0
"""The keys for data in custom formats: format, columns, templates. No I/O here.

The trainer would refuse each after it has fetched the data. Checks that need the columns of the
data are done in the trainer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_spec.config.parse.data_formats import (
    FORMATS,
    KEPT_COLUMNS,
    TRL_COLUMNS,
    columns_of_template,
)
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, did_you_mean, quoted

_TEMPLATES = ("prompt_template", "completion_template")


def check_templates(config: Reading, context: Context) -> Iterator[Problem]:
    """A completion requires a prompt."""
    if config["completion_template"] is not None and config["prompt_template"] is None:
        yield Problem(
            path=config.name("completion_template"),
            message="found without prompt_template: set that too, or dataset_columns, such as "
            "{prompt: question, completion: answer}",
        )


def check_one_shape(config: Reading, context: Context) -> Iterator[Problem]:
    """A format and a template both define the prompt."""
    for key in _TEMPLATES:
        if config["dataset_format"] is not None and config[key] is not None:
            yield Problem(
                path=config.name("dataset_format"),
                message=f"found {quoted(config['dataset_format'])} together with {key}, expected "
                "only one of them: both define the format of a row",
            )
            return


def check_columns(config: Reading, context: Context) -> Iterator[Problem]:
    """A column that is never read is a misspelt name."""
    columns = _columns(config)
    name = config.name("dataset_columns")
    known = _known_columns(config)
    for target, source in columns.items():
        path = f"{name}.{target}"
        if not isinstance(source, str) or not source:
            yield Problem(
                path=path, message=f"found {quoted(source)}, expected the name of a column"
            )
        elif target not in known:
            yield Problem(path=path, message=_not_known(target, source, known, config))
    for key, target in (("prompt_template", "prompt"), ("completion_template", "completion")):
        if target in columns and config[key] is not None and target not in _in_templates(config):
            yield Problem(
                path=f"{name}.{target}",
                message=f"found together with {key}, expected only one of them: both define the "
                f"{target}",
            )


def _columns(config: Reading) -> Mapping[str, Any]:
    value = config["dataset_columns"]
    if isinstance(value, str):
        try:
            value = parse_object(value, "it")
        except InvalidDocument:
            return {}
    return value if isinstance(value, Mapping) else {}


def _known_columns(config: Reading) -> tuple[str, ...]:
    shape = FORMATS.get(config["dataset_format"] or "")
    if shape is not None:
        own = shape.columns
    elif config["prompt_template"] is not None:
        own = (*_in_templates(config), "prompt", "completion")
    else:
        own = (*TRL_COLUMNS, config["dataset_text_field"] or "text")
    return tuple(dict.fromkeys((*own, *KEPT_COLUMNS)))


def _in_templates(config: Reading) -> tuple[str, ...]:
    return tuple(name for key in _TEMPLATES for name in columns_of_template(config[key] or ""))


def _not_known(target: Any, source: str, known: tuple[str, ...], config: Reading) -> str:
    reader = config["dataset_format"]
    whose = f"of dataset_format: {reader}" if reader else "that is read"
    if source in known:
        hint = f", did you mean {source}: {target}?"
    else:
        own = [column for column in known if column not in KEPT_COLUMNS]
        hint = did_you_mean(str(target), known) or f", expected one of {', '.join(own)}"
    return f"not a column {whose}{hint}"


RULES = (check_templates, check_one_shape, check_columns)
