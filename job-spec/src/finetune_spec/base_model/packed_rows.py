# SPDX-License-Identifier: Apache-2.0
"""Whether a model keeps the sequences of a pack separate, by its `model_type`.

`packed_rows.toml` was measured with packed and single rows on a small model of every architecture
that transformers has. It is data of this package; nothing else is read here.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from finetune_spec.attention import EAGER
from finetune_spec.base_model.kinds import has_own_code, type_of
from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem, quoted, warning

TABLE = Path(__file__).with_name("packed_rows.toml")
PACKAGES_FOR_PACKS = ("causal-conv1d", "mamba-ssm", "flash-linear-attention")
"""With these kernels some models separate rows that torch's own code for them mixes."""
_INSTEAD = "leave {key} out, so that rows are padded"


class PackedRows(StrEnum):
    """How a model treats the rows of a pack."""

    APART = "apart"
    MIXED = "mixed"
    """They attend to each other."""
    REFUSED = "refused"
    """The model cannot compute packs, or only with packages that the trainer image lacks."""
    UNMEASURED = "unmeasured"


def rows_of(model_type: str, attention: str | None = None) -> PackedRows:
    """For this `attn_implementation`; the default's result if it was not measured separately."""
    by_default, by_eager = _table()
    found = by_default.get(model_type, PackedRows.UNMEASURED)
    return by_eager.get(model_type, found) if attention == EAGER else found


def package_for(model_type: str) -> str | None:
    """The package without which transformers cannot compute packs for such a model."""
    return _packages().get(model_type)


def check_packed_rows(
    config: SftConfig, model: Mapping[str, Any], context: Context
) -> Iterator[Problem]:
    """The loss of mixed rows looks like any other, but belongs to other data."""
    if not config.has_flat_rows or has_own_code(config, model):
        return
    key = "packing" if config["packing"] else "padding_free"
    model_type = type_of(model)
    match rows_of(model_type, config.attention):
        case PackedRows.MIXED:
            yield Problem(path=config.name(key), message=_mixed(key, model_type))
        case PackedRows.REFUSED:
            yield from _refused(config, key, model_type, context)
        case PackedRows.UNMEASURED if model_type:
            yield warning(
                config.name(key),
                f"it is unknown whether models of type {quoted(model_type)} keep the rows of a "
                "pack apart: the trainer checks this before the first step, and fails if they "
                "do not",
            )


def _mixed(key: str, model_type: str) -> str:
    words = (
        f"found true, but models of type {quoted(model_type)} do not keep the rows of a pack "
        "apart: each row would be trained as if it continued the row before it; "
        f"{_INSTEAD.format(key=key)}"
    )
    if key == "packing":
        words += ", or set packing_strategy: wrapped if rows may continue each other"
    return words


def _refused(config: SftConfig, key: str, model_type: str, context: Context) -> Iterator[Problem]:
    package = package_for(model_type)
    if package is None:
        yield Problem(
            path=config.name(key),
            message=f"found true, but models of type {quoted(model_type)} do not support packing: "
            f"{_INSTEAD.format(key=key)}",
        )
        return
    words = (
        f"models of type {quoted(model_type)} keep the rows of a pack apart only with the package "
        f"{package}"
    )
    if context.has_own_image:
        yield warning(config.name(key), f"found true, and {words}, which spec.image must have")
    elif package not in context.packages:
        yield Problem(
            path=config.name(key),
            message=f"found true, and {words}, which the trainer image lacks: "
            f"{_INSTEAD.format(key=key)}, or set spec.image to an image that has it",
        )


@cache
def _table() -> tuple[Mapping[str, PackedRows], Mapping[str, PackedRows]]:
    """`model_type` -> the treatment of its rows, by default and with eager attention."""
    read = _read()
    return _by_type(read), _by_type(read["eager"])


@cache
def _packages() -> Mapping[str, str]:
    return {each: package for package, types in _read()["packages"].items() for each in types}


def _by_type(table: Mapping[str, Any]) -> Mapping[str, PackedRows]:
    return {each: rows for rows in PackedRows for each in table.get(rows, ())}


@cache
def _read() -> Mapping[str, Any]:
    # Only packs of a known model need the table, and with it a parser.
    import tomllib

    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
