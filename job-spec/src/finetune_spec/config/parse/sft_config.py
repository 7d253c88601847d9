# SPDX-License-Identifier: Apache-2.0
"""A config as all code after the border reads it: the written keys, and their meaning.

`read_config` is the only place where a raw mapping is normalised. No I/O here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_spec.config.parse.launch.resolution import Resolved, resolve_launch
from finetune_spec.config.parse.reading import Reading
from finetune_spec.config.parse.schema import Schema, load_schema
from finetune_spec.config.parse.spellings import modernize

MODEL, TEMPLATE, MIXTURE, DATA_FILES, DATA = (
    *("model_name_or_path", "chat_template_path"),
    *("datasets", "data_files", "dataset_name"),
)
"""The keys that name a source."""

AS_MODEL, ADAPTER_BASE = "adapter_as_model", "adapter_base_model"
"""The keys for an adapter in place of a model."""
CONTINUE, MERGE = "continue", "merge"
"""The values of the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig(Reading):
    """A config that was parsed once. Its values have TRL's names, and JSON's 8.0 becomes 8 for
    integers.
    """

    written: Mapping[str, Any]
    """The keys that the user wrote, with an attempt's adjustments."""
    current: Mapping[str, Any]
    """The same in current spelling, with the keys that others imply."""
    older: Mapping[str, str]
    """Current spelling -> the older one that was written."""
    launch: Resolved
    """The same with the keys that a launch profile resolves to."""

    @property
    def resolved(self) -> Mapping[str, Any]:
        """The written keys as TRL parses them: `values` without any correction."""
        return self.launch.values

    @property
    def variables(self) -> Mapping[str, Any]:
        """The environment variables that the config sets itself."""
        return self.mapping("env")

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Every named model, template, dataset and data file, with its key."""
        return tuple(self._find_sources())

    def adjusted(self, settings: Mapping[str, Any]) -> "SftConfig":
        """The config with settings that override the written ones."""
        return read_config({**self.written, **settings}, self.schema) if settings else self

    def supposing(self, settings: Mapping[str, Any]) -> "SftConfig":
        """The config with other values, by TRL's names, for an estimate: nothing is normalised
        again. It is never trained with.
        """
        return replace(self, values={**self.values, **settings})

    def _find_sources(self) -> Iterator[tuple[str, str]]:
        model, template = self[MODEL], self[TEMPLATE]
        if model:
            yield MODEL, model
        if (base := self[ADAPTER_BASE]) and base != model:
            yield ADAPTER_BASE, base
        if template and template != model:
            yield TEMPLATE, template
        for part in self.mixture:
            if part.get("path"):
                yield MIXTURE, part["path"]
                yield from ((DATA_FILES, name) for name in _files_in(part.get(DATA_FILES)))
        # As in TRL's sft.py: a mixture takes precedence over a single dataset.
        if not self[MIXTURE] and (name := self[DATA]):
            yield DATA, name


def read_config(written: Mapping[str, Any], schema: Schema | None = None) -> SftConfig:
    """Reads a config, valid or not: the checks inspect the result.

    It never fails, because a job that an older operator accepted continues with its config.
    """
    schema = schema or load_schema()
    current, older = modernize(written)
    if current.get(AS_MODEL) == CONTINUE:
        current = {"use_peft": True, **current}
    launch = resolve_launch(current)
    return SftConfig(
        values={
            key: int(value) if _is_whole(value) and "number" not in schema.types(key) else value
            for key, value in launch.values.items()
            if key in schema.properties
        },
        schema=schema,
        spellings=older | launch.origins,
        written=written,
        current=current,
        older=older,
        launch=launch,
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _files_in(files: Any) -> Iterator[str]:
    """The names in `data_files` of any form."""
    if isinstance(files, Mapping):
        files = list(files.values())
    if isinstance(files, list | tuple):
        for each in files:
            yield from _files_in(each)
    elif files is not None:
        yield str(files)
