# SPDX-License-Identifier: Apache-2.0
"""Measures every architecture of the installed transformers, and records which layers
`num_layers_unfrozen` trains, and the result of merging an adapter.

    cd tests && python -m trainer.families.tuned [MODEL_TYPE ...]

It takes about ten minutes of CPU time, one model after the other. If types are named, only these
are measured, and the recorded results of the others are kept.
"""

import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from trainer.families import frozen_layers, merged_adapters
from trainer.families.frozen_layers import Frozen
from trainer.families.merged_adapters import Merged
from trainer.families.packed_rows import NotBuilt
from trainer.families.small import every_type
from trainer.families.table import SECONDS, end, listed

TABLE = Path(__file__).with_name("tuned.toml")
UNMEASURED = "unmeasured"
WHOLE = "whole"
"""Merged in memory, and not tensor by tensor."""
_LONGEST = 200

_HEAD = """\
# SPDX-License-Identifier: Apache-2.0
# Which layers num_layers_unfrozen trains, and the result of merging an adapter, by
# model_type, as measured with transformers {version}.
# Written by `cd tests && python -m trainer.families.tuned`; a test compares.

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The results for one architecture."""

    frozen: str
    merged: str
    needs: tuple[str, ...] = ()
    sentence: str = ""
    """The messages of refusals."""


def measured(model_type: str) -> Tuned:
    try:
        frozen = str(frozen_layers.measure(model_type))
    except NotBuilt:
        frozen = UNMEASURED
    with tempfile.TemporaryDirectory() as place:
        merged, needs, sentence = measured_merge(model_type, Path(place))
    return Tuned(frozen=frozen, merged=merged, needs=needs, sentence=sentence)


def measured_merge(model_type: str, place: Path) -> tuple[str, tuple[str, ...], str]:
    """The result of merging an adapter, the config that it requires, and the message."""
    try:
        found = merged_adapters.measure(model_type, place)
    except NotBuilt:
        return UNMEASURED, (), ""
    if found.whole is not Merged.SAME:
        return str(found.whole), found.needs, _short(found.sentence)
    if found.by_tensors is Merged.REFUSED:
        return WHOLE, found.needs, _short(found.sentence_by_tensors)
    return str(found.by_tensors), found.needs, ""


def _short(sentence: str) -> str:
    line = " ".join(sentence.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def read_table() -> Mapping[str, Tuned]:
    """The result as it is recorded."""
    table = tomllib.loads(TABLE.read_text())
    frozen = {each: kind for kind, types in table["frozen"].items() for each in types}
    merged = {each: kind for kind, types in table["merged"].items() for each in types}
    needs: dict[str, tuple[str, ...]] = {}
    for need, types in table["needs"].items():
        needs |= {each: (*needs.get(each, ()), need) for each in types}
    return {
        each: Tuned(
            frozen=frozen[each],
            merged=merged[each],
            needs=needs.get(each, ()),
            sentence=table["sentences"].get(each, ""),
        )
        for each in frozen
    }


def as_toml(found: Mapping[str, Tuned]) -> str:
    lines = [f'transformers = "{version("transformers")}"', "", "[frozen]"]
    for kind in (*Frozen, UNMEASURED):
        lines += listed(kind, [name for name, it in found.items() if it.frozen == kind])
    lines += ["", "[merged]"]
    for kind in (*Merged, WHOLE, UNMEASURED):
        lines += listed(kind, [name for name, it in found.items() if it.merged == kind])
    lines += ["", "# Keys that the trainer requires before it accepts the config.", "[needs]"]
    for need in sorted({need for it in found.values() for need in it.needs}, reverse=True):
        types = [name for name, it in found.items() if need in it.needs]
        lines += listed(_quoted(need), types)
    lines += [
        "",
        "# Messages of refusals, and of merges in memory only.",
        "[sentences]",
    ]
    lines += _sentences(found)
    return _HEAD.format(version=version("transformers")) + "\n".join(lines) + "\n"


def _sentences(found: Mapping[str, Tuned]) -> Iterator[str]:
    for name, it in sorted(found.items()):
        if it.sentence:
            # A dot would begin a table in TOML.
            yield f"{_quoted(name)} = {_quoted(it.sentence)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _measure(types: Sequence[str]) -> Mapping[str, Tuned]:
    found = dict(read_table()) if types else {}
    for model_type in types or every_type():
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            found[model_type] = measured(model_type)
        except TimeoutError:
            found[model_type] = Tuned(frozen=UNMEASURED, merged=UNMEASURED)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(model_type, found[model_type], file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, end)
    TABLE.write_text(as_toml(_measure(sys.argv[1:])))
