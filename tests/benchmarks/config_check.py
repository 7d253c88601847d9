# SPDX-License-Identifier: Apache-2.0
"""How long the check of one config takes, and the import of its modules.

    python tests/benchmarks/config_check.py [ROUNDS]

Prints the rows of docs/contributing/benchmarks.md.
"""

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_spec.config.parse.schema import load_schema
from finetune_spec.job import check_job

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.typical_config import TYPICAL
from trainer.config_fuzz.generator import right_config

IMPORTS = 21

WRONG: Mapping[str, Any] = {
    **{f"{key[:-2]}{key[-1]}": value for key, value in TYPICAL.items()},
    "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
    "eval_strategy": "step",
    "learning_rate": "2e-4",
    "report_to": "wandbb",
}
"""Nearly every key is misspelt, so that the nearest one is searched nearly thirty times."""


def main(rounds: int) -> None:
    configs = {
        f"typical, {len(TYPICAL)} keys": TYPICAL,
        f"every key of TRL's ({len(load_schema().properties)})": right_config(load_schema()),
        f"{len(WRONG)} keys, nearly all wrong": WRONG,
    }
    print(f"one config, {rounds} times each, p50 / p99; imports: median of {IMPORTS}")
    for name, config in configs.items():
        p50, p99 = _milliseconds(config, rounds)
        print(f"| check of a config: {name} | {p50:.2f} / {p99:.2f} ms |")
    with tempfile.TemporaryDirectory() as bytecode:
        compiled = {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
        for name, environment in (("installed", compiled), ("from source", {})):
            took = _import_ms(os.environ | environment)
            print(f"| import of what checks beyond the bare interpreter, {name} | {took:.0f} ms |")


def _milliseconds(config: Mapping[str, Any], rounds: int) -> tuple[float, float]:
    spec = {
        "config": dict(config),
        "resources": {"gpusPerNode": 2},
        "output": {"uri": "s3://models/balloon"},
    }
    check_job(spec)
    gc.collect()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        check_job(spec)
        times.append((time.perf_counter() - begin) * 1000)
    times.sort()
    return statistics.median(times), times[int(rounds * 0.99)]


def _import_ms(environment: Mapping[str, str]) -> float:
    """The difference between a new interpreter that imports the check and reads its schema, and one
    that does not.
    """
    bare = "pass"
    checks = (
        "import finetune_spec.job; "
        "from finetune_spec.config.parse.schema import load_schema; load_schema()"
    )
    _start(checks, environment)
    differences = [_start(checks, environment) - _start(bare, environment) for _ in range(IMPORTS)]
    return statistics.median(differences) * 1000


def _start(code: str, environment: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
