# SPDX-License-Identifier: Apache-2.0
"""A job file is read as in the API server."""

from pathlib import Path

import pytest

from finetune_cli.files.job_file import Job, parse_job, processes_here, run_of
from finetune_trainer.failures.errors import AttemptFailed

EXAMPLES = [
    path
    for path in sorted((Path(__file__).parents[3] / "configs" / "examples").glob("*.yaml"))
    if "kind: FineTuneJob" in path.read_text()
]


HEAD = "apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\nmetadata: {name: balloon}\n"
CONFIG = "model_name_or_path: s3://models/tiny, dataset_name: s3://datasets/tiny"


def parse(config: str = "seed: 1", **sections: str) -> Job:
    sections = {"output": "{uri: s3://models/balloon}"} | sections
    spec = "".join(f"  {name}: {text}\n" for name, text in sections.items())
    return parse_text(f"{HEAD}spec:\n  config: {{{CONFIG}, {config}}}\n{spec}")


def parse_text(text: str, output: str | None = None) -> Job:
    return parse_job(text.encode(), "job.yaml", output=output)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_a_valid_job(path: Path) -> None:
    job = parse_job(path.read_bytes(), path.name)

    assert job.output_uri


def test_the_run_id_does_not_depend_on_the_output_location() -> None:
    job = parse("learning_rate: 1e-4")

    here = run_of(job, "file:///here", processes=1, port=1)
    there = run_of(job, "s3://there", processes=2, port=2)

    assert here.run_id == there.run_id


def test_a_run_token_changes_the_run() -> None:
    first, second = parse(), parse(runToken="again")

    assert (
        run_of(first, "file:///x", processes=1, port=1).run_id
        != run_of(second, "file:///x", processes=1, port=1).run_id
    )


@pytest.mark.parametrize(
    ("gpus_wanted", "gpus_here", "expected"), [(0, 0, 1), (2, 0, 1), (2, 1, 1), (2, 4, 2)]
)
def test_there_is_one_process_per_requested_and_available_gpu(
    gpus_wanted: int, gpus_here: int, expected: int
) -> None:
    job = parse(resources=f"{{gpusPerNode: {gpus_wanted}}}")

    assert processes_here(job, gpus_here) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("a: [1, 2", "job.yaml:1:4: found \\[ without its end", id="no YAML"),
        pytest.param("kind: Pod", "contains 0 FineTuneJobs", id="another kind"),
        pytest.param(f"{HEAD}---\n{HEAD}", "contains 2 FineTuneJobs", id="two"),
        pytest.param(HEAD, "job.yaml:1:1: spec: missing", id="no spec"),
        pytest.param(
            f"{HEAD}spec: {{config: 3}}",
            "job.yaml:4:8: spec.config: found 3, expected a mapping",
            id="no config",
        ),
        pytest.param(
            f"{HEAD}spec:\n  output: {{uri: s3://x}}\n  config: {{{CONFIG},\n  learning_rte: 1}}",
            "job.yaml:7:3: spec.config.learning_rte: .*did you mean learning_rate",
            id="a typing mistake",
        ),
        pytest.param(
            f"{HEAD}spec:\n  config: {{{CONFIG}}}",
            "job.yaml:4:1: spec.output: missing",
            id="no output",
        ),
        pytest.param(
            f"{HEAD}spec:\n  config: {{{CONFIG}}}\n  output: {{}}",
            "job.yaml:6:3: spec.output.uri: missing",
            id="no place for the result",
        ),
    ],
)
def test_a_job_that_validate_refuses_is_refused_with_the_same_line(
    text: str, sentence: str
) -> None:
    with pytest.raises(AttemptFailed, match=sentence):
        parse_text(text)


def test_a_result_can_be_written_to_a_local_directory() -> None:
    job = parse(output="{uri: file:///results}")

    assert job.output_uri == "file:///results"


def test_the_annotation_names_the_cluster_to_take_over_from() -> None:
    run = run_of(parse_text(annotated("51c0")), "s3://x", processes=1, port=1)

    assert run.job.take_over_from == "51c0"
    assert run.job.cluster is None
    assert not run.job.is_in_cluster


@pytest.mark.parametrize("value", ["of the old cluster", "$(id)", "[a]", "7", '""'])
def test_an_invalid_cluster_to_take_over_from_is_refused_with_its_line(value: str) -> None:
    place = "metadata.annotations.finetune.dev/take-over-from"
    sentence = f"job.yaml:5:17: {place}: found .*, expected the id of a cluster"

    with pytest.raises(AttemptFailed, match=sentence):
        parse_text(annotated(value))


@pytest.mark.parametrize("annotations", ["null", "[]", "a", "{note: mine}"])
def test_without_the_annotation_no_location_is_taken_over(annotations: str) -> None:
    text = f"metadata: {{name: balloon, annotations: {annotations}}}\n"
    head = HEAD.replace("metadata: {name: balloon}\n", text)

    job = parse_text(f"{head}spec: {{config: {{{CONFIG}}}, output: {{uri: s3://x}}}}")

    assert job.take_over_from is None


def annotated(value: str) -> str:
    head = HEAD.replace("{name: balloon}", "\n  name: balloon")
    note = f"  annotations: {{finetune.dev/take-over-from: {value}}}\n"
    return f"{head}{note}spec: {{config: {{{CONFIG}}}, output: {{uri: s3://x}}}}"


def test_an_output_given_on_the_command_line_replaces_the_jobs() -> None:
    job = parse_text(f"{HEAD}spec:\n  config: {{{CONFIG}}}", output="results")

    assert job.output_uri == "results"


def test_a_suspicious_setting_is_a_warning_with_its_line() -> None:
    job = parse("max_seq_length: 256")

    assert any("job.yaml:5:" in line and "max_length" in line for line in job.warnings)
