# SPDX-License-Identifier: Apache-2.0
"""Metrics of evaluations: refused, warned of, or valid."""

from typing import Any

import pytest

from support.config_verdicts import refusals, warnings

EVALUATES = {"eval_strategy": "steps", "eval_steps": 50}
LORA = {"use_peft": True}
JUDGED = {**EVALUATES, "metric_fn": "judge:score"}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"early_stopping_patience": 3},
            "early_stopping_patience: found 3 without evaluations to judge by: set eval_strategy "
            'to "steps" or "epoch"',
            id="patience without evaluations",
        ),
        pytest.param(
            {**EVALUATES, "metric_for_best_model": "eval_los"},
            'metric_for_best_model: found "eval_los", expected eval_loss, '
            "eval_mean_token_accuracy or eval_entropy, did you mean eval_loss?; only a metric_fn "
            "can return los",
            id="a slip in the metric",
        ),
        pytest.param(
            {**EVALUATES, "metric_for_best_model": "bleu"},
            'metric_for_best_model: found "bleu", expected eval_loss, eval_mean_token_accuracy '
            "or eval_entropy; only a metric_fn can return bleu",
            id="a metric of nobody",
        ),
        pytest.param(
            {**JUDGED, "num_eval_samples": 0},
            'metric_fn: found "judge:score" together with num_eval_samples: 0, which leaves no '
            "answers to evaluate: set it to at least 1",
            id="nothing to judge",
        ),
        pytest.param(
            {**JUDGED, "fsdp": True, "fsdp_config": {"version": 1}},
            'metric_fn: found "judge:score" together with FSDP 1, with which a model cannot '
            "generate answers during training: write accelerate_config: fsdp2, or remove "
            "metric_fn",
            id="nobody to answer",
        ),
        pytest.param(
            {**EVALUATES, "metric_fn": "judge"},
            'metric_fn: found "judge", expected module:function or file.py:function',
            id="no function",
        ),
        pytest.param(
            {**EVALUATES, "metric_fn": "judge.py"},
            'metric_fn: found "judge.py", expected module:function or file.py:function',
            id="a file alone",
        ),
        pytest.param(
            {**EVALUATES, "metric_fn": "../judge.py:score"},
            'metric_fn: found "../judge.py:score", expected a file next to the data, by its '
            "relative path",
            id="a file elsewhere",
        ),
        pytest.param(
            {**EVALUATES, "metric_fn": "/etc/judge.py:score"},
            'metric_fn: found "/etc/judge.py:score", expected a file next to the data, by its '
            "relative path",
            id="a file of the image",
        ),
    ],
)
def test_an_evaluation_that_cannot_work_is_refused(config: dict[str, Any], sentence: str) -> None:
    assert refusals({**LORA, **config}) == [sentence]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {**EVALUATES, "metric_fn": "judge.py:score"},
            'metric_fn: "judge.py:score" is code stored next to the data: the trainer runs it, '
            "so anyone with write access there gains the trainer's permissions",
            id="code of the data",
        ),
        pytest.param(
            {"metric_fn": "judge:score"},
            'metric_fn: has no effect while eval_strategy is "no": set it to "steps" or "epoch" '
            "to evaluate",
            id="a judge without evaluations",
        ),
        pytest.param(
            {**EVALUATES, "eval_on_start": False},
            "eval_on_start: found false: the tuned model will not be compared with its base model",
            id="no comparison",
        ),
        pytest.param(
            {**EVALUATES, "max_steps": 100, "eval_delay": 200},
            "eval_delay: max_steps: 100 is reached first; nothing will be evaluated",
            id="a delay beyond the last step",
        ),
        pytest.param(
            {"eval_strategy": "epoch", "num_train_epochs": 2, "eval_delay": 3},
            "eval_delay: num_train_epochs: 2 is reached first; nothing will be evaluated",
            id="a delay beyond the last epoch",
        ),
        pytest.param(
            {**EVALUATES, "early_stopping_threshold": 0.1},
            "early_stopping_threshold: has no effect without early_stopping_patience",
            id="a threshold of no patience",
        ),
        pytest.param(
            {**EVALUATES, "num_eval_samples": 0, "eval_sample_max_tokens": 9},
            "eval_sample_max_tokens: has no effect while num_eval_samples is 0",
            id="length of no answers",
        ),
    ],
)
def test_a_suspicious_evaluation_setting_gets_a_warning(
    config: dict[str, Any], sentence: str
) -> None:
    assert refusals({**LORA, **config}) == []
    assert sentence in warnings({**LORA, **config})


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({**EVALUATES, "early_stopping_patience": 3}, id="patience"),
        pytest.param({**JUDGED, "metric_for_best_model": "bleu"}, id="a metric of the user's"),
        pytest.param({**EVALUATES, "metric_fn": "my.scores:bleu"}, id="a module in a package"),
        pytest.param({**EVALUATES, "metric_for_best_model": "entropy"}, id="TRL's own metric"),
    ],
)
def test_a_valid_evaluation_is_accepted_without_a_warning(config: dict[str, Any]) -> None:
    assert refusals({**LORA, **config}) == []
    assert [said for said in warnings({**LORA, **config}) if "metric" in said] == []
