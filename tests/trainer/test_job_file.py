# SPDX-License-Identifier: Apache-2.0
"""A job file is read as the API server reads it."""

from pathlib import Path

import pytest

from finetune_trainer.failures import AttemptFailed
from finetune_trainer.job_file import Job, parse_job, processes_here, run_of

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "examples").glob("*.yaml"))


def parse(config: str = "", **sections: str) -> Job:
    spec = "".join(f"  {name}: {text}\n" for name, text in sections.items())
    return parse_job(
        f"kind: FineTuneJob\nmetadata: {{name: balloon}}\nspec:\n  config: {{{config}}}\n{spec}",
        "job.yaml",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("1e-4", 1e-4, id="no dot"),
        pytest.param("2.0e-4", 2e-4, id="a dot"),
        pytest.param("1E5", 1e5, id="capital"),
        pytest.param("-1e+2", -100.0, id="signs"),
        pytest.param("16", 16, id="integer"),
        pytest.param("'1e-4'", "1e-4", id="quoted"),
        pytest.param("1e4x", "1e4x", id="no number"),
    ],
)
def test_numbers_are_those_of_kubernetes(text: str, value: object) -> None:
    found = parse(f"learning_rate: {text}").config["learning_rate"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_job(path: Path) -> None:
    job = parse_job(path.read_text(), path.name)

    assert job.output_uri


def test_the_same_job_is_the_same_run_wherever_it_writes() -> None:
    job = parse("learning_rate: 1e-4")

    here = run_of(job, "file:///here", processes=1, port=1)
    there = run_of(job, "s3://there", processes=2, port=2)

    assert here.run_id == there.run_id


def test_a_run_token_makes_another_run() -> None:
    first, second = parse(), parse(runToken="again")

    assert (
        run_of(first, "file:///x", processes=1, port=1).run_id
        != run_of(second, "file:///x", processes=1, port=1).run_id
    )


@pytest.mark.parametrize(
    ("gpus_wanted", "gpus_here", "expected"), [(0, 0, 1), (2, 0, 1), (2, 1, 1), (2, 4, 2)]
)
def test_one_process_per_gpu_that_is_wanted_and_there(
    gpus_wanted: int, gpus_here: int, expected: int
) -> None:
    job = parse(resources=f"{{gpusPerNode: {gpus_wanted}}}")

    assert processes_here(job, gpus_here) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("a: [", "is not YAML", id="no YAML"),
        pytest.param("kind: Pod", "holds 0 FineTuneJobs", id="another kind"),
        pytest.param("kind: FineTuneJob\nmetadata: {}", "has no spec", id="no spec"),
        pytest.param(
            "kind: FineTuneJob\nmetadata: {}\nspec: {config: 3}", "has no config", id="no config"
        ),
    ],
)
def test_a_broken_file_is_told_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(AttemptFailed, match=sentence):
        parse_job(text, "job.yaml")
