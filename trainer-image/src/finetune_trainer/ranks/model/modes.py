# SPDX-License-Identifier: Apache-2.0
"""Evaluates a model without changing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Without gradients, with each module in evaluation mode, then in its previous mode: some
    modules may be kept in one while the rest is trained.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
