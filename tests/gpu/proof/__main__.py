# SPDX-License-Identifier: Apache-2.0
"""Tests the trainer on one GPU in eight minutes, the most important sections first.

    python -m gpu.proof [--seconds 480] [--rows rows.json]   on a machine with a GPU
    python -m gpu.proof --cpu                                the same path, tiny, on a CPU

Needs torch, the trainer's packages and a tokenizer: `make test-gpu` uses those of `.venv`, and
`make gpu-bundle` packs them for a machine that has only torch. Exits with 1 if a section
failed. A section for which no time is left is reported in its row, and is not a failure.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
SECONDS = 480.0


def main() -> int:
    options = _parser().parse_args()
    os.environ |= QUIET | ({"CUDA_VISIBLE_DEVICES": ""} if options.cpu else {})
    from gpu.proof.rows import Rows
    from gpu.proof.sections import sections

    rows = Rows(file=options.rows, budget=options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        for section in sections(rows, Path(folder), options.tokenizer, is_small=options.cpu):
            rows.attempt(section.name, section.seconds, section.measure)
    rows.add("done", failed_sections=rows.failed)
    return 1 if rows.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpu.proof", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="stop beginning sections")
    parser.add_argument("--rows", type=Path, default=Path("build/gpu-rows.json"))
    parser.add_argument("--cpu", action="store_true", help="a tiny model, for the path alone")
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=Path(os.environ.get("TOKENIZER", "tokenizer")),
        help="a folder with a tokenizer and a chat template of 49,152 words at most",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
