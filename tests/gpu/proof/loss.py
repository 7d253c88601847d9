# SPDX-License-Identifier: Apache-2.0
"""TRL's default loss, a Triton kernel, with a C compiler and without one.

Triton compiles one C file, its driver, before its first kernel. An image without a compiler can
contain that library in advance.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gpu.proof.rows import LONGEST, Rows

NOWHERE = "/nonexistent"
_SECONDS = 120

_PROGRAM = """
import sys, torch
if len(sys.argv) > 1:
    from triton import knobs
    knobs.build.impl = lambda *_: sys.argv[1]
from trl.kernels.chunked_logprob import ChunkedLogProbFunction
hidden = torch.randn(300, 576, device="cuda", dtype=torch.bfloat16, requires_grad=True)
head = torch.randn(49152, 576, device="cuda", dtype=torch.bfloat16) * 0.02
targets = torch.randint(0, 49152, (300,), device="cuda")
outputs = ("log_probs", "entropy", "is_top1")
found = ChunkedLogProbFunction.apply(hidden, head, None, targets, 1.0, 32768, None, 1.0, outputs)[0]
(-found.mean()).backward()
exact = torch.log_softmax(hidden.double() @ head.double().T, -1).gather(1, targets[:, None])[:, 0]
apart = float((found - exact).abs().max())
assert apart < 0.05 and hidden.grad.isfinite().all(), apart
print("apart", apart)
"""


def compile_with_and_without(rows: Rows) -> None:
    """Only the first must succeed; the second shows the error in a user's image."""
    library = _run(rows, "with a compiler", {})
    _run(rows, "without a compiler", {"PATH": NOWHERE})
    if library is None:
        raise AssertionError("the loss does not compute, or Triton left no library of its driver")
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "driver.so"
        kept.write_bytes(library)
        _run(rows, "without a compiler, the library from before", {"PATH": NOWHERE}, str(kept))


def _run(rows: Rows, how: str, environment: Mapping[str, str], *arguments: str) -> bytes | None:
    """The library that Triton has compiled, if it succeeds."""
    with tempfile.TemporaryDirectory() as cache:
        kept = {key: value for key, value in os.environ.items() if key != "CC"}
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *arguments],
            env={**kept, "TRITON_CACHE_DIR": cache, **environment},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        last = (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2]
        rows.add("loss", how=how, exit_code=done.returncode, last_line=last[:LONGEST])
        library = next(Path(cache).rglob("cuda_utils*.so"), None)
        return library.read_bytes() if library is not None and done.returncode == 0 else None
