# SPDX-License-Identifier: Apache-2.0
"""Other features that work, or are refused, with a sharded model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.long_form import keeping
from trainer.in_process import Trained
from trainer.lab import ADAPTER, STEPS, WHOLE, Lab
from trainer.tiny_models import a_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JUDGE = """
def score(prompts, answers, references):
    return {"length": len(answers[0])}
"""


@pytest.mark.parametrize(
    ("profile", "what"),
    keeping(
        ("zero3, whole",),
        [
            pytest.param(profile, config, id=f"{profile}, {what}")
            for profile in ("fsdp2", "zero2", "zero3", "zero3-offload")
            for what, config in (("whole", WHOLE), ("adapter", ADAPTER))
        ],
    ),
)
def test_a_sharded_model_answers_and_is_evaluated_like_an_unsharded_one(
    lab: Lab, dialogues: Path, tmp_path: Path, profile: str, what: dict[str, Any]
) -> None:
    data = Path(shutil.copytree(dialogues, tmp_path / "judged"))
    (data / "judge.py").write_text(JUDGE)
    config = {
        **what,
        "dataset_name": str(data),
        "eval_strategy": "steps",
        "eval_steps": 2,
        "eval_sample_max_tokens": 8,
        "metric_fn": "judge.py:score",
        "save_strategy": "no",
    }

    alone = lab.beside("alone").train(processes=1, **config)
    spread = lab.beside("spread").train(processes=2, accelerate_config=profile, **config)

    assert spread.outcome.failure is None, spread.outcome
    assert judged(spread) == judged(alone)
    assert [step for step, _ in judged(alone)] == [0, 2, 4, STEPS]
    assert answers(spread) == answers(alone)
    assert None not in [
        answer for one in answers(alone) for answer in (one["before"], one["after"])
    ]
    assert spread.losses() == pytest.approx(alone.losses(), rel=1e-4)


def judged(trained: Trained) -> list[tuple[int, float]]:
    records = [record for record in trained.records() if "eval_length" in record]
    return [(int(record["step"]), record["eval_length"]) for record in records]


def answers(trained: Trained) -> Any:
    return json.loads(trained.workspace.samples.read_text())


TOKENS = {"added_tokens": ["<|tool|>"]}


@pytest.mark.parametrize(
    ("profile", "config"),
    keeping(
        ("FSDP2, a token more, whole",),
        [
            pytest.param("fsdp2", WHOLE | TOKENS, id="FSDP2, a token more, whole"),
            pytest.param("zero2", ADAPTER | TOKENS, id="ZeRO-2, a token more, adapter"),
            pytest.param("zero3", WHOLE | TOKENS, id="ZeRO-3, a token more, whole"),
            pytest.param("zero2", ADAPTER | {"bf16": True}, id="ZeRO-2 in bf16, adapter"),
            pytest.param("zero3", WHOLE | {"bf16": True}, id="ZeRO-3 in bf16, whole"),
        ],
    ),
)
def test_new_tokens_and_half_precision_work_with_sharding(
    lab: Lab, profile: str, config: dict[str, Any]
) -> None:
    alone = lab.beside("alone").train(processes=1, **config)
    spread = lab.beside("spread").train(processes=2, accelerate_config=profile, **config)

    assert spread.outcome.failure is None, spread.outcome
    assert spread.losses() == pytest.approx(alone.losses(), rel=1e-2 if "bf16" in config else 1e-4)


def test_new_tokens_of_a_template_are_refused_with_a_sharded_embedding(
    lab: Lab, tmp_path: Path
) -> None:
    other = a_tokenizer(tmp_path / "other", "<|turn|>")
    cloned = {"accelerate_config": "fsdp2", "chat_template_path": str(other)}
    trained = lab.train(processes=2, **ADAPTER, **cloned)

    assert "chat_template_path: it adds new tokens, and PEFT with FSDP" in trained.words()
