# SPDX-License-Identifier: Apache-2.0
"""The sections in the order of their value, and the seconds that each requires to begin."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gpu.proof import attention, loss, machine, models, speed, whole_attempts
from gpu.proof.rows import Rows

SMALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A measurement, which adds its own rows."""

    name: str
    seconds: float
    measure: Callable[[], None]


def sections(rows: Rows, place: Path, tokenizer: Path, *, is_small: bool) -> Iterator[Section]:
    """All of them; the small ones use the same path on a CPU, except for CUDA's features."""
    device = "cpu" if is_small else "cuda"

    def section(name: str, seconds: float, measure: Callable[[], None]) -> Section:
        return Section(name=name, seconds=SMALL_SECONDS if is_small else seconds, measure=measure)

    yield section("machine", 5, partial(machine.describe, rows))
    if not is_small:
        yield section("loss", 40, partial(loss.compile_with_and_without, rows))
    yield section("attention", 10, partial(attention.compare, rows, device))
    for one in speed.TINY if is_small else speed.SPEEDS:
        yield section("speed", 60, partial(speed.measure, rows, one, device, str(tokenizer)))
    size = models.TINY if is_small else speed.SMALL
    model, data = whole_attempts.prepare(place, size, tokenizer)
    configs = list(whole_attempts.CONFIGS.items())
    for number, (what, config) in enumerate(configs[:1] if is_small else configs):
        folders = whole_attempts.Folders(place=place / str(number), model=model, data=data)
        measure = partial(whole_attempts.carry_out, rows, what, config, folders, device)
        yield section("attempt", 45, measure)
