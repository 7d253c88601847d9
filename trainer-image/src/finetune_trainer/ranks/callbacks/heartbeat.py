# SPDX-License-Identifier: Apache-2.0
"""Writes a heartbeat whenever the trainer, or the preparation of its data, makes progress."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from datasets.utils import tqdm as bar
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils.logging import set_tqdm_hook

from finetune_trainer.exchange.heartbeats import Heart


class Heartbeat(TrainerCallback):
    """A heartbeat for each step, part of a step, evaluated batch and checkpoint."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._heart.beat(f"training, step {state.global_step + 1} of {state.max_steps}")

    on_substep_end = on_step_begin

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._heart.beat(f"evaluating after step {state.global_step}")

    on_evaluate = on_prediction_step

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._heart.beat(f"saving after step {state.global_step}")


_MADE = bar.__init__


def beat_with_data(heart: Heart, tell: Callable[[str], None] | None = None) -> None:
    """Writes a heartbeat, and reports the progress, whenever `datasets` makes progress with a
    split: that can take hours before the first step.
    """

    def make(self: Any, *args: Any, **options: Any) -> None:
        # A bar that is not shown forgets its description, and does not count.
        self.what, self.whole = str(options.get("desc") or ""), options.get("total")
        self.count = options.get("initial") or 0
        _MADE(self, *args, **options)

    def update(self: Any, n: float | None = 1) -> bool | None:
        heart.beat("preparing the data")
        self.count += n or 0
        if tell is not None and (words := _how_far(self.what, self.whole, self.count)):
            tell(words)
        return super(bar, self).update(n)

    # It has no other interface, and a bar is updated even if it is not shown.
    bar.__init__, bar.update = make, update


def _how_far(what: str, total: float | None, count: float) -> str:
    """`Tokenizing train dataset: 12,000 of 1,000,000`; empty for a bar without a description."""
    what = what.partition(" (num_proc=")[0]
    if not what:
        return ""
    return f"{what}: {count:,.0f} of {total:,.0f}" if total else f"{what}: {count:,.0f}"


@contextmanager
def beat_while_loading(heart: Heart) -> Iterator[None]:
    """A heartbeat for each tensor that transformers loads, and each file that it writes: a large
    model takes many minutes, and a disk that does not respond takes forever.
    """

    def beating(
        factory: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> Any:
        return _BeatingBar(factory(*arguments, **options), heart)

    before = set_tqdm_hook(beating)
    try:
        yield
    finally:
        set_tqdm_hook(before)


class _BeatingBar:
    """A progress bar of transformers that writes heartbeats."""

    def __init__(self, inner: Any, heart: Heart) -> None:
        self._inner = inner
        self._heart = heart

    def __iter__(self) -> Iterator[Any]:
        for item in self._inner:
            self._heart.beat("loading or saving a model")
            yield item

    def update(self, n: float | None = 1) -> Any:
        self._heart.beat("loading or saving a model")
        return self._inner.update(n)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._inner.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
