# SPDX-License-Identifier: Apache-2.0
"""Stops a run at a moment of its training that a test names, as the supervisor would."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


@contextmanager
def stopping_at(step: int, moment: str) -> Iterator[None]:
    """Requests the rank to stop when its trainer reaches this callback event at this step."""
    from transformers import TrainerCallback

    from finetune_trainer.exchange.workspace import Workspace
    from finetune_trainer.ranks import training

    build_trainer = training.build_trainer

    def build(arguments: Any, *rest: Any, **options: Any) -> Any:
        trainer = build_trainer(arguments, *rest, **options)
        stop = Workspace(root=Path(arguments.training.output_dir).parent).stop

        def ask(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
            del self, args, control
            if state.global_step == step:
                stop.touch()

        trainer.add_callback(type("Asking", (TrainerCallback,), {moment: ask})())
        return trainer

    with mock.patch.object(training, "build_trainer", build):
        yield
