# SPDX-License-Identifier: Apache-2.0
"""Names and figures in words."""

from datetime import timedelta

import pytest

from finetune_results_page.model.wording import age, count, figure, metric_name, model_name
from support.listed_jobs import NOON


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("eval_mean_token_accuracy", "Evaluation: mean token accuracy"),
        ("mean_token_accuracy", "Mean token accuracy"),
        ("eval_loss", "Evaluation: loss"),
        ("evalLoss", "Evaluation: loss"),
        ("baseEvalLoss", "Evaluation: loss before training"),
        ("train_loss", "Training: loss"),
        ("loss", "Loss"),
        ("test_bleu", "Test: BLEU"),
        ("rouge_l", "ROUGE l"),
        ("exact_match", "Exact match"),
        ("eval_f1", "Evaluation: F1"),
        ("grad_norm", "Gradient norm"),
        ("eval_runtime", "Evaluation: duration in seconds"),
        ("eval_num_correct", "Evaluation: number of correct"),
        ("learning_rate", "Learning rate"),
        ("winRate", "Win rate"),
        ("BLEU4", "BLEU4"),
        ("eval_mAP", "Evaluation: mAP"),
        ("eval", "Eval"),
        ("eval_", "Eval"),
        ("__", "__"),
        ("", ""),
        ("Genauigkeit für Fragen", "Genauigkeit für Fragen"),
        ("a\nb", "a b"),
    ],
)
def test_a_metric_has_a_readable_name(name: str, expected: str) -> None:
    assert metric_name(name) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("gpt2", "gpt2"),
        ("s3://models/qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B-Instruct"),
        ("s3://models/qwen/Qwen2.5-7B-Instruct/", "Qwen2.5-7B-Instruct"),
        ("s3://models/balloon/9f86d081884c/adapter", "balloon"),
        ("gs://lab/mistral/checkpoints/step-00000200", "mistral"),
        ("hf://meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("file:///data/models/llama/final", "llama"),
        ("/data/models/llama", "llama"),
        ("./llama", "llama"),
        (
            "/cache/models--Qwen--Qwen2.5-7B/snapshots/a09a35458c702b33eeacc393d103063234e8bc28",
            "Qwen/Qwen2.5-7B",
        ),
        ("s3://models", "models"),
        ("s3://", "s3://"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_a_model_is_shown_without_its_location(reference: str, expected: str) -> None:
    assert model_name(reference) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.46213, "0.4621"),
        (2.4, "2.4"),
        (200, "200"),
        (8120, "8120"),
        (12345.6, "12,350"),
        (0, "0"),
        (-0.0, "0"),
        (-1.5, "-1.5"),
        (0.000012345, "1.23e-5"),
        (2e-4, "0.0002"),
        (1e99, "1e+99"),
        (None, ""),
    ],
)
def test_a_figure_has_four_digits(value: float | None, expected: str) -> None:
    assert figure(value) == expected


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        (timedelta(), "0 min"),
        (timedelta(minutes=-5), "0 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=400), "400 days"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit(passed: timedelta, expected: str) -> None:
    assert age(NOON - passed, NOON) == expected


def test_counts_use_singular_and_plural() -> None:
    assert [count(number, "job") for number in (0, 1, 2, 10_000)] == [
        "0 jobs",
        "1 job",
        "2 jobs",
        "10,000 jobs",
    ]
