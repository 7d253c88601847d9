# SPDX-License-Identifier: Apache-2.0
"""With a schedule-free optimizer, the saved weights are the average that was evaluated.

The package `schedulefree` is a fake here, because the image does not have it: a descent of the same
construction, with the names of the package.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.ranks.building import Trainer
from trainer.in_process import train
from trainer.runs import a_folder

pytestmark = pytest.mark.slow  # importing datasets and torch

FAKE = '''
import torch

class AdamWScheduleFree(torch.optim.Optimizer):
    """A fake: schedule-free descent by the signs of the gradients."""

    def __init__(self, params, lr=1e-3, **options):
        super().__init__(params, {"lr": lr, "train_mode": False, "k": 0})

    @torch.no_grad()
    def _turn(self, to_train, weight):
        for group in self.param_groups:
            if group["train_mode"] is not to_train:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(self.state[p]["z"], weight)
                group["train_mode"] = to_train

    def train(self):
        self._turn(True, 1 - 0.9)

    def eval(self):
        self._turn(False, 1 - 1 / 0.9)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            assert group["train_mode"], "a step in evaluation mode"
            group["k"] += 1
            for p in group["params"]:
                if p.grad is None:
                    continue
                z = self.state[p].setdefault("z", p.detach().clone())
                x = p.lerp(z, 1 - 1 / 0.9)
                z.sub_(p.grad.sign(), alpha=group["lr"])
                x.lerp_(z, 1 / group["k"])
                p.copy_(x.lerp(z, 1 - 0.9))

SGDScheduleFree = RAdamScheduleFree = AdamWScheduleFree
'''


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from transformers.utils import import_utils

    a_folder(
        tmp_path / "packages",
        {
            "schedulefree/__init__.py": FAKE.encode(),
            "schedulefree-1.4.1.dist-info/METADATA": b"Name: schedulefree\nVersion: 1.4.1\n",
        },
    )
    monkeypatch.syspath_prepend(tmp_path / "packages")
    caches = (import_utils.is_schedulefree_available, import_utils._is_package_available)
    for cached in caches:
        getattr(cached, "cache_clear", lambda: None)()
    yield
    for cached in caches:
        getattr(cached, "cache_clear", lambda: None)()
    sys.modules.pop("schedulefree", None)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Each saved directory, and whether the optimizer was then set to the average."""
    found: list[tuple[str, bool]] = []
    before = Trainer.save_model

    def save_model(self: Any, output_dir: str | None = None, *args: Any, **options: Any) -> None:
        [group] = {each["train_mode"] for each in self.optimizer.param_groups}
        found.append((Path(str(output_dir)).name, not group))
        before(self, output_dir, *args, **options)

    monkeypatch.setattr(Trainer, "save_model", save_model)
    return found


def data(place: Path) -> Path:
    rows = [{"prompt": f"Where is boat {n}? ", "completion": f"At pier {n}."} for n in range(8)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return a_folder(place / "data", {"train.jsonl": lines}) / "train.jsonl"


SCHEDULE_FREE = {"optim": "schedule_free_adamw", "lr_scheduler_type": "constant", "max_steps": 4}


@pytest.mark.parametrize(
    ("config", "names"),
    [
        pytest.param({}, ["artifact"], id="without checkpoints and evaluations"),
        pytest.param(
            {"save_strategy": "steps", "save_steps": 2},
            ["checkpoint-2", "checkpoint-4", "artifact"],
            id="checkpoints",
        ),
        pytest.param(
            {
                "save_strategy": "steps",
                "save_steps": 2,
                "eval_strategy": "steps",
                "eval_steps": 2,
                "test_split_size": 0.25,
                "load_best_model_at_end": True,
            },
            ["checkpoint-2", "checkpoint-4", "artifact"],
            id="the best checkpoint",
        ),
    ],
)
def test_the_average_is_saved_and_not_the_weights_that_gradients_are_computed_with(
    config: dict[str, Any],
    names: list[str],
    tmp_path: Path,
    tiny_model: Path,
    saved: list[tuple[str, bool]],
) -> None:
    done = train(tmp_path, tiny_model, data(tmp_path), **SCHEDULE_FREE, **config)

    assert done.outcome.failure is None, done.words()
    assert saved == [(name, True) for name in names]
