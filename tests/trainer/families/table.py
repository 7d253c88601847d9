# SPDX-License-Identifier: Apache-2.0
"""Measures every architecture of the installed transformers, and writes the treatment of packed
rows to the file that `finetune_spec.base_model.packed_rows` reads.

    cd tests && python -m trainer.families.table [MODEL_TYPE ...]

It takes about two minutes of CPU time, one model after the other. If types are named, only these
are measured, and the others are not changed.
"""

import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from finetune_spec.attention import EAGER
from finetune_spec.base_model.packed_rows import TABLE, PackedRows, package_for, rows_of
from trainer.families.packed_rows import NotBuilt, measure
from trainer.families.small import every_type

SECONDS = 60
"""Limit of CPU time. A model that takes longer to build is not small."""

_HEAD = """\
# SPDX-License-Identifier: Apache-2.0
# Whether the rows of a pack are kept apart, by model_type, as measured with transformers {version}.
# Written by `cd tests && python -m trainer.families.table`; a test compares.

"""


def measured(model_type: str) -> Mapping[str, tuple[PackedRows, str]]:
    """By default, and with eager attention if that differs."""
    found = {"": measure(model_type)}
    if not found[""][1]:
        with_eager = measure(model_type, EAGER)
        if with_eager[0] is not found[""][0]:
            found[EAGER] = with_eager
    return found


def as_toml(found: Mapping[str, Mapping[str, tuple[PackedRows, str]]]) -> str:
    """`found` has an empty mapping for architectures that could not be built."""
    lines = [f'transformers = "{version("transformers")}"']
    for rows in (PackedRows.APART, PackedRows.MIXED, PackedRows.REFUSED):
        types = [name for name, each in found.items() if each and each[""][0] is rows]
        lines += listed(rows, types)
    lines += listed(PackedRows.UNMEASURED, [name for name, each in found.items() if not each])
    lines += ["", "# Where attn_implementation: eager makes a difference.", "[eager]"]
    for rows in (PackedRows.APART, PackedRows.MIXED, PackedRows.REFUSED):
        types = [name for name, each in found.items() if EAGER in each and each[EAGER][0] is rows]
        lines += listed(rows, types)
    lines += ["", "# Without which transformers refuses to compute packs.", "[packages]"]
    packages = {each[""][1] for each in found.values() if each} - {""}
    for package in sorted(packages):
        types = [name for name, each in found.items() if each and each[""][1] == package]
        lines += listed(package, types)
    return _HEAD.format(version=version("transformers")) + "\n".join(lines) + "\n"


def listed(name: str, types: Iterable[str]) -> Iterator[str]:
    yield f"{name} = ["
    line = "   "
    for each in sorted(types):
        if len(line) + len(each) > 92:
            yield line
            line = "   "
        line += f' "{each}",'
    if line.strip():
        yield line
    yield "]"


def _written(model_type: str) -> Mapping[str, tuple[PackedRows, str]]:
    rows, with_eager = rows_of(model_type), rows_of(model_type, EAGER)
    if rows is PackedRows.UNMEASURED:
        return {}
    by_default = {"": (rows, package_for(model_type) or "")}
    return by_default if rows is with_eager else {**by_default, EAGER: (with_eager, "")}


def _measure(types: Sequence[str]) -> Mapping[str, Mapping[str, tuple[PackedRows, str]]]:
    found = {each: _written(each) for each in every_type()} if types else {}
    for model_type in types or every_type():
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            found[model_type] = measured(model_type)
        except (NotBuilt, TimeoutError) as error:
            found[model_type] = {}
            print(str(error)[:200].replace("\n", " "), file=sys.stderr)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return found


def end(*_: Any) -> None:
    raise TimeoutError(f"not built within {SECONDS} s")


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, end)
    TABLE.write_text(as_toml(_measure(sys.argv[1:])))
