# SPDX-License-Identifier: Apache-2.0
"""Inspects a rank: which tensors of the trained model are alive when verification begins."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

FILE = "alive.json"


def watch() -> None:
    """Called in a rank before it trains; it writes `FILE` into the work directory."""
    from finetune_trainer.ranks import training, verification

    save, verify = training.save, verification.verify
    watched: list[tuple[str, weakref.ref[Any]]] = []

    def saving(trainer: Any, workspace: Any) -> None:
        save(trainer, workspace)
        watched.extend((name, weakref.ref(it)) for name, it in _tensors(trainer))

    def verifying(workspace: Any, *rest: Any, **options: Any) -> Any:
        gc.collect()
        alive = [name for name, it in watched if it() is not None]
        found = {"watched": [name for name, _ in watched], "alive": alive}
        Path(workspace.root, FILE).write_text(json.dumps(found))
        return verify(workspace, *rest, **options)

    training.save, verification.verify = saving, verifying


def _tensors(trainer: Any) -> list[tuple[str, Any]]:
    """Parameters, the parts of them that this process holds, and the optimizer's states."""
    found = list(trainer.model.named_parameters())
    parts = [(f"{name}, part", getattr(it, "ds_tensor", None)) for name, it in found]
    wrapped = [(f"wrapped {name}", it) for name, it in trainer.model_wrapped.named_parameters()]
    optimizer = trainer.optimizer
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    held = [("optimized", it) for group in optimizer.param_groups for it in group["params"]]
    states = [("state", it) for state in optimizer.state.values() for it in state.values()]
    everything = [*found, *parts, *wrapped, *held, *states]
    return [(name, it) for name, it in everything if hasattr(it, "data_ptr")]
