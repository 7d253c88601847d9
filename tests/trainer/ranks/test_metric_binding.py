# SPDX-License-Identifier: Apache-2.0
"""The arguments of a user's metric function: by the names of its parameters, in any order."""

from collections.abc import Callable
from typing import Any

import pytest

from finetune_trainer.ranks.evaluation.metric_binding import NAMES, UnknownParameters, bind
from finetune_trainer.ranks.evaluation.metric_values import Unusable, read_values

GIVEN = {
    "prompts": ["Name boat 0:"],
    "outputs": ["::::"],
    "references": [" Seagull 0"],
    "samples": ["Name boat 0:::::"],
}


def called(function: Callable[..., Any]) -> Any:
    return bind(function).call(function, GIVEN)


def refused(function: Callable[..., Any]) -> str:
    with pytest.raises(UnknownParameters) as caught:
        bind(function)
    return f"{caught.value} | {caught.value.remedy}"


def test_a_trlx_function_gets_the_models_outputs_and_not_the_references() -> None:
    def metric_fn(samples: Any, prompts: Any, outputs: Any, **kwargs: Any) -> Any:
        return samples, prompts, outputs, kwargs

    samples, prompts, outputs, rest = called(metric_fn)
    assert (samples, prompts, outputs) == (["Name boat 0:::::"], ["Name boat 0:"], ["::::"])
    assert rest == {"references": [" Seagull 0"]}


def test_functions_written_for_other_tools_get_the_arguments_they_name() -> None:
    def of_mlflow(predictions: Any, targets: Any, metrics: Any = None) -> Any:
        return predictions, targets, metrics

    def of_evaluate(*, predictions: Any, references: Any) -> Any:
        return predictions, references

    def ours(prompts: Any, answers: Any, references: Any) -> Any:
        return prompts, answers, references

    def backwards(references: Any, answers: Any, /, prompts: Any) -> Any:
        return prompts, answers, references

    assert called(of_mlflow) == (["::::"], [" Seagull 0"], None)
    assert called(of_evaluate) == (["::::"], [" Seagull 0"])
    assert called(ours) == called(backwards) == (["Name boat 0:"], ["::::"], [" Seagull 0"])


@pytest.mark.parametrize("name", [name for names in NAMES.values() for name in names])
def test_a_function_with_any_single_known_parameter_is_called(name: str) -> None:
    function: Callable[..., Any] = eval(f"lambda {name}: {name}")  # noqa: S307 - a name of ours

    meaning = next(meaning for meaning, names in NAMES.items() if name in names)
    assert called(function) == GIVEN[meaning]


def test_a_function_may_change_the_lists_it_receives() -> None:
    def consuming(outputs: list[str]) -> int:
        outputs.clear()
        return 0

    called(consuming)

    assert GIVEN["outputs"] == ["::::"]


def test_unknown_parameters_are_refused_with_the_supported_names() -> None:
    words = refused(lambda p, a, r: 0)

    assert (
        "has the parameters p, a, r, but a metric function receives lists with the names" in words
    )
    for names in NAMES.values():
        for name in names:
            assert name in words
    assert "outputs for the model's answers, references for the answers of the data" in words
    assert "has the parameter eval_pred," in refused(lambda eval_pred: 0)
    assert "has the parameter tokenizer," in refused(lambda samples, prompts, tokenizer: 0)
    assert "has the parameter args," in refused(lambda *args: 0)


def test_parameters_for_a_single_answer_are_refused_because_lists_are_passed() -> None:
    words = refused(lambda prompt, answer: 0)

    assert "rename prompt to prompts (the prompts, a list)" in words
    assert "answer to answers (the model's answers, a list)" in words


def test_two_parameters_with_one_meaning_are_refused() -> None:
    # Its author means the data's answers by one of them.
    words = refused(lambda prompts, outputs, answers: 0)

    assert "has the parameters outputs and answers, which are both the model's answers" in words
    assert "references for the answers of the data" in words


def test_a_function_without_usable_parameters_is_refused() -> None:
    assert "has no parameter for answers to evaluate" in refused(lambda: 0)
    assert "has no parameter for answers to evaluate" in refused(lambda limit=3: 0)
    assert "does not expose the names of its parameters" in refused(dict)


def test_a_number_or_boolean_per_answer_becomes_the_mean() -> None:
    import numpy as np

    returned = {
        "reward": [0.0, 1.0, 0.5, 0.5],
        "exact": [True, False, False, False],
        "of_numpy": np.array([1, 2, 3, 4]),
        "alone": np.float32(0.5),
        "pair": (1, 2, 3, 4),
    }

    assert read_values(returned, 4) == {
        "eval_reward": 0.5,
        "eval_exact": 0.25,
        "eval_of_numpy": 2.5,
        "eval_alone": 0.5,
        "eval_pair": 2.5,
    }
    assert read_values({"one": np.array([0.5])}, 1) == {"eval_one": 0.5}


@pytest.mark.slow  # importing torch
def test_a_tensor_with_a_number_per_answer_becomes_the_mean() -> None:
    import torch

    returned = {"of_torch": torch.tensor([0.25, 0.25, 0.25, 0.25])}

    assert read_values(returned, 4) == {"eval_of_torch": 0.25}


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"a": [0.5, 1.0]}, "a list with a number for each of the 3 answers: it has 2"),
        ({"a": [0.5, None, 1.0]}, "returned None for a of answer 2, expected a number"),
        ({"a": [0.5, 1.0, float("inf")]}, "returned inf for a of answer 3, expected a number"),
        ({"a": [[1], [2], [3]]}, "returned a list for a of answer 1, expected a number"),
        ({"a": []}, "returned a list for a, expected a number"),
        ({"a": "high"}, "returned 'high' for a, expected a number, or a list"),
        ([0.5, 0.5, 0.5], "returned a list, expected a mapping of names to numbers"),
    ],
)  # fmt: skip
def test_a_list_without_one_number_per_answer_is_reported(returned: Any, words: str) -> None:
    with pytest.raises(Unusable) as caught:
        read_values(returned, 3)

    assert words in str(caught.value)
