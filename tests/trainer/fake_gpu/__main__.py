# SPDX-License-Identifier: Apache-2.0
"""Compares cases by name, with a JSON line for each result, or writes the table of the docs.

PYTHONPATH=tests python -m trainer.fake_gpu NAME...      these cases
PYTHONPATH=tests python -m trainer.fake_gpu --table      all of them, into docs/user/memory.md
"""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune_spec.quantities import render_bytes
from trainer.fake_gpu.cases import LONG, SHORT, Case

PAGE = Path(__file__).parents[3] / "docs" / "user" / "memory.md"
BEGIN, END = "<!-- torch's own figures -->", "<!-- end -->"
QUIET = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}


def main(names: Sequence[str]) -> None:
    os.environ |= QUIET
    cases = [case for case in (*SHORT, *LONG) if names == ["--table"] or case.name in names]
    found = []
    for case in cases:
        found.append(_measure(case))
        print(json.dumps(found[-1]), flush=True)
    if names == ["--table"]:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        rows = "\n".join(table(cases, found))
        PAGE.write_text(f"{before}{BEGIN}\n{rows}\n{END}{after}")


def _measure(case: Case) -> dict[str, Any]:
    from trainer.fake_gpu.architectures import ARCHITECTURES
    from trainer.fake_gpu.training import compare

    compared = compare(ARCHITECTURES[case.model](), case.config, case.world)
    return {
        "name": case.name,
        "estimate": compared.estimate.allocated,
        "parts": dict(compared.estimate.parts),
        **{key: value for key, value in dataclasses.asdict(compared).items() if key != "estimate"},
    }


def table(cases: Sequence[Case], found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The rows of the docs."""
    yield "| model | training | GPUs | estimate | torch | ratio |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for case, figures in zip(cases, found, strict=True):
        estimate, torchs = figures["estimate"], figures["torch_peak"]
        yield (
            f"| {case.model} | {case.words} | {case.world} | {render_bytes(estimate)} "
            f"| {render_bytes(torchs)} | {estimate / torchs:.2f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
