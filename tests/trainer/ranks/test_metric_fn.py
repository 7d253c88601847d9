# SPDX-License-Identifier: Apache-2.0
"""A user's metric function: found, called, and reported in its user's terms."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.errors import AttemptFailed
from trainer.in_process import Trained, a_run, train

pytestmark = pytest.mark.slow

EVALUATED: dict[str, Any] = {
    "eval_strategy": "steps",
    "eval_steps": 1,
    "max_steps": 2,
    "eval_sample_max_tokens": 4,
}
GOOD = """
import numpy as np

def score(prompts, answers, references):
    assert len(prompts) == len(answers) == len(references) == 1
    assert prompts[0][-1]["content"] == "When do you open?"
    assert references == ["We cast off at 7 in the morning."]
    return {"words": np.float64(len(answers[0].split())), "eval_length": len(answers[0])}
"""


@pytest.fixture
def data(tmp_path: Path, dialogues: Path) -> Path:
    """The dialogues, to which a test adds a function."""
    return Path(shutil.copytree(dialogues, tmp_path / "data"))


def judged(place: Path, model: Path, data: Path, code: str, **config: Any) -> Trained:
    (data / "judge.py").write_text(code)
    return train(place, model, data, **{**EVALUATED, "metric_fn": "judge.py:score", **config})


def find(name: str, folder: Path) -> Any:
    from finetune_trainer.ranks.evaluation.metric_function import find_metric_function

    return find_metric_function(name, [folder])


def test_the_values_of_a_metric_are_in_records_outcome_and_progress(
    tmp_path: Path, tiny_model: Path, data: Path
) -> None:
    done = judged(tmp_path, tiny_model, data, GOOD, metric_for_best_model="length")

    assert done.outcome.failure is None
    records = [record for record in done.records() if "eval_words" in record]
    assert [record["step"] for record in records] == [0, 1, 2]
    figures = dict(done.outcome.figures or {})
    assert figures["eval_words"] == records[-1]["eval_words"]
    assert figures["best_metric"] == max(record["eval_length"] for record in records[1:])
    assert '"eval_words"' in done.workspace.progress.read_text()


def test_a_broken_function_fails_before_the_first_step(
    tmp_path: Path, tiny_model: Path, data: Path
) -> None:
    code = 'def score(prompts, answers, references):\n    raise ValueError("no scale\\nmore")\n'
    done = judged(tmp_path, tiny_model, data, code)

    assert done.outcome.step == 0
    assert done.outcome.failure is not None
    assert done.outcome.failure.category is Category.USER
    assert done.words().startswith(
        "MetricFailed: metric_fn: judge.py:score raised ValueError: no scale (judge.py, line 2) |"
    )


def test_the_metric_for_the_best_model_must_be_returned_by_the_function(
    tmp_path: Path, tiny_model: Path, data: Path
) -> None:
    done = judged(tmp_path, tiny_model, data, GOOD, metric_for_best_model="eval_lenght")

    assert "metric_for_best_model is eval_lenght, but metric_fn returns eval_words" in done.words()


def test_a_missing_function_is_reported_before_the_model_is_loaded(
    tmp_path: Path, tiny_model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks import training

    monkeypatch.setattr(training, "build_trainer", None)
    done = judged(tmp_path, tiny_model, data, GOOD, metric_fn="judge.py:scor")

    assert "judge.py has no function scor; there is score" in done.words()
    assert "set metric_fn to judge.py:score" in done.words()


def test_without_answers_the_run_is_refused_as_having_nothing_to_evaluate(
    tmp_path: Path, tiny_model: Path, data: Path
) -> None:
    done = judged(tmp_path, tiny_model, data, GOOD, eval_sample_seconds=0)

    assert done.words().startswith("NothingToJudge: metric_fn received no answers")


def test_a_resumed_run_has_the_metric_of_an_uninterrupted_one(
    tmp_path: Path, tiny_model: Path, data: Path
) -> None:
    # The function's own random numbers must not change the trainer's.
    code = (
        "import random, numpy, torch\n"
        "def score(prompts, answers, references):\n"
        "    torch.rand(3), numpy.random.rand(3)\n"
        '    return {"luck": random.random()}\n'
    )
    plain = train(tmp_path / "plain", tiny_model, data, **EVALUATED, lora_dropout=0.1)
    with_function = judged(tmp_path / "judged", tiny_model, data, code, lora_dropout=0.1)

    assert plain.losses() == with_function.losses()


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        pytest.param(
            "juge.py:score",
            {"judge.py": "def score(outputs): ..."},
            "there is no juge.py next to the data; there is judge.py | set metric_fn to "
            "judge.py:score",
            id="no such file",
        ),
        pytest.param(
            "nowhere_to_be_found:score",
            {},
            "there is no module nowhere_to_be_found next to the data or in the image",
            id="no such module",
        ),
        pytest.param(
            "judge:score",
            {"judge.py": "import nowhere_to_be_found"},
            "judge:score cannot be imported: ModuleNotFoundError: No module named "
            "'nowhere_to_be_found' (judge.py, line 1)",
            id="a module that imports what is not there",
        ),
        pytest.param(
            "judge.py:score",
            {"judge.py": "def score(:"},
            "judge.py:score cannot be imported: SyntaxError: invalid syntax (judge.py, line 1)",
            id="no Python",
        ),
        pytest.param(
            "judge.py:score",
            {"judge.py": "def score(texts): ..."},
            "judge.py:score has the parameter texts, but a metric function receives lists with "
            "the names prompts, ",
            id="other parameters",
        ),
        pytest.param(
            "judge.py:score", {"judge.py": "score = 3"}, "is not a function but 3", id="a number"
        ),
    ],
)
def test_a_function_that_cannot_be_found_is_reported(
    tmp_path: Path, name: str, files: dict[str, str], words: str
) -> None:
    for file, code in files.items():
        (tmp_path / file).write_text(code)

    with pytest.raises(AttemptFailed) as caught:
        find(name, tmp_path)

    failure = caught.value.failure
    assert failure.category is Category.USER
    assert words in f"{failure.message} | {failure.remedy}"


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        pytest.param("None", "returned None, expected a mapping of names to numbers", id="none"),
        pytest.param("0.5", "returned 0.5, expected a mapping", id="a number alone"),
        pytest.param("{}", "returned an empty mapping, expected", id="nothing"),
        pytest.param("{'a': 'high'}", "returned 'high' for a, expected a number", id="a text"),
        pytest.param("{'a': True}", "returned True for a, expected a number", id="a truth"),
        pytest.param("{'a': float('nan')}", "returned nan for a, expected a number", id="NaN"),
        pytest.param("{'a': [1]}", "returned a list for a, expected a number", id="a list"),
        pytest.param("{1: 1}", "returned a value named 1, expected a string", id="no name"),
        pytest.param(
            "{'loss': 1}", "named loss, which is reserved for the evaluation", id="TRL's own"
        ),
    ],
)
def test_a_result_that_is_not_a_mapping_of_numbers_is_reported(
    tmp_path: Path, returned: str, words: str
) -> None:
    (tmp_path / "judge.py").write_text(f"def score(outputs):\n    return {returned}\n")

    with pytest.raises(AttemptFailed) as caught:
        find("judge.py:score", tmp_path).values([], [])

    assert caught.value.failure.reason == "MetricFailed"
    assert words in caught.value.failure.message


def test_a_module_next_to_the_data_can_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "scales.py").write_text("def high():\n    return 9\n")
    (tmp_path / "judge.py").write_text(
        "import scales\ndef score(outputs):\n    return {'height': scales.high()}\n"
    )

    assert find("judge:score", tmp_path).values([], []) == {"eval_height": 9.0}


def test_a_module_of_the_image_is_accepted_and_one_of_the_working_directory_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lying_about.py").write_text("def score(outputs):\n    return {'a': 1}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    image = tmp_path / "image"
    image.mkdir()
    (image / "house_metrics.py").write_text("def score(outputs):\n    return {'a': 1}\n")
    monkeypatch.syspath_prepend(image)

    assert find("house_metrics:score", tmp_path / "data").values([], []) == {"eval_a": 1.0}
    with pytest.raises(AttemptFailed) as caught:
        find("lying_about:score", tmp_path / "data")
    assert caught.value.failure.reason == "MetricNotFound"


@pytest.mark.long
def test_all_ranks_get_the_values_that_one_rank_computed(
    tmp_path: Path, tiny_model: Path, data: Path
) -> None:
    from trainer.two_ranks import TwoRanks

    (data / "judge.py").write_text(GOOD)
    config = {**EVALUATED, "metric_fn": "judge.py:score", "metric_for_best_model": "length"}
    ranks = TwoRanks()
    try:
        done = ranks.train(a_run(tmp_path, tiny_model, data, **config), tmp_path, processes=2)
        (data / "judge.py").write_text("def score(outputs):\n    return 1\n")
        (tmp_path / "again").mkdir()
        failed = ranks.train(
            a_run(tmp_path / "again", tiny_model, data, **config), tmp_path / "again", processes=2
        )
    finally:
        ranks.close()

    assert done.outcome.failure is None
    assert (done.outcome.figures or {})["eval_words"] >= 0
    assert "returned 1, expected a mapping" in failed.words()
