# SPDX-License-Identifier: Apache-2.0
"""Restores random states: evaluating a model must not change its training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def keep_random_states() -> Iterator[None]:
    """Python's, NumPy's and torch's, on the CPU and on this process's GPU.

    Without it even reading data changes them: each pass of a `DataLoader` draws a seed.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
