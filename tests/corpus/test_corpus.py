# SPDX-License-Identifier: Apache-2.0
"""Real users' files: every file gets the same verdict from CLI, operator, webhook, trainer.

`wrong/` has one error, or one habit, per file, with the sentences for its user:

    # from: where such files come from
    # expect: path: sentence        (line N: sentence, where it is no YAML)
    # warn: path: sentence

`right/` has configs in the shape of TRL's own examples. A bare config is checked as that of a job
as well.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.files.yaml.source_lines import Document, read_documents
from finetune_cli.local.command_line import main
from finetune_contract.run import JobReference, Run, World
from finetune_operator.job.spec import parse_job
from finetune_operator.webhook.review import review
from finetune_spec.job import CONFIG_PATH
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import parse_run
from finetune_trainer.plan.training_plan import check_run
from support.factories import SETTINGS as STRICT
from support.factories import a_job_body

HERE = Path(__file__).parent
WRONG = sorted((HERE / "wrong").glob("*.yaml"))
RIGHT = sorted((HERE / "right").glob("*.yaml"))
FILES = [*WRONG, *RIGHT]

SETTINGS = replace(STRICT, allow_trust_remote_code=True)
"""The command line does not have a platform team's restrictions."""

AROUND: Mapping[str, Any] = {
    "resources": {"nodes": 1, "gpusPerNode": 2},
    "output": {"uri": "s3://models/corpus", "credentialsSecretRef": {"name": "models-bucket"}},
}
"""The job around a bare config, which requests no GPUs and secrets, has enough of both."""


@dataclass(frozen=True)
class Verdict:
    """The messages about a file, in the order of its lines."""

    mistakes: tuple[str, ...]
    warnings: tuple[str, ...]


def expected_of(path: Path) -> Verdict:
    """The expected verdict from the header of a file."""
    head = re.findall(r"^# (expect|warn): (.*)$", path.read_text(), re.MULTILINE)
    return Verdict(
        mistakes=tuple(sentence for kind, sentence in head if kind == "expect"),
        warnings=tuple(sentence for kind, sentence in head if kind == "warn"),
    )


def of_command_line(path: Path, output: str) -> Verdict:
    told: dict[str, list[str]] = {"error": [], "warning": []}
    for found in json.loads(output):
        assert found["file"] == str(path)
        place = found["path"] or f"line {found['line']}"
        told[found["severity"]].append(f"{place}: {found['message']}")
    return Verdict(mistakes=tuple(told["error"]), warnings=tuple(told["warning"]))


def jobs_in(path: Path) -> Iterator[dict[str, Any]]:
    """The jobs that the API server would pass on to webhook and operator, with defaults.

    The API server refuses an error outside of the config, and kubectl one in the YAML.
    """
    refused = re.search(
        r"^# expect: (?!spec\.config\.)(spec|kind|apiVersion|metadata|config:|line )",
        path.read_text(),
        re.MULTILINE,
    )
    documents = list(read_documents(path.read_bytes()))
    if refused or any(document.found for document in documents):
        return
    yield from (as_job(document) for document in documents)


def as_job(document: Document) -> dict[str, Any]:
    value = document.value
    if "kind" not in value:
        return a_job_body(config=value, **AROUND)
    spec = dict(value["spec"])
    resources = {"nodes": 1, "gpusPerNode": 1} | spec.pop("resources", {})
    return a_job_body(value["metadata"]["name"], resources=resources, **spec)


def bare(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences with the paths of a bare config, in one order for all."""
    return tuple(sorted(sentence.removeprefix(f"{CONFIG_PATH}.") for sentence in sentences))


def of_operator(job: Mapping[str, Any]) -> Verdict:
    parsed = parse_job(job, SETTINGS)
    return Verdict(mistakes=bare(parsed.mistakes), warnings=bare(parsed.warnings))


def of_webhook(job: Mapping[str, Any]) -> Verdict:
    request = {"operation": "CREATE", "kind": {"kind": "FineTuneJob"}, "object": job}
    response = review(request, SETTINGS)
    causes = response.get("status", {}).get("details", {}).get("causes", [])
    return Verdict(
        mistakes=bare(tuple(f"{cause['field']}: {cause['message']}" for cause in causes)),
        warnings=bare(tuple(response.get("warnings", ()))),
    )


def mistakes_of_trainer(job: Mapping[str, Any]) -> str:
    spec = job["spec"]
    resources = spec["resources"]
    gpus = resources["gpusPerNode"]
    run = Run(
        job=JobReference(namespace="team", name="corpus", uid="uid"),
        run_id="0123456789",
        attempt=1,
        config=spec["config"],
        output_uri="s3://models/corpus",
        world=World(nodes=resources["nodes"], processes_per_node=max(1, gpus)),
    )
    try:
        check_run(parse_run(run), Hardware(gpus=gpus, cpus=8))
    except AttemptFailed as error:
        return error.failure.message
    return ""


def test_the_corpus_has_two_hundred_wrong_configs_and_thirty_right_ones() -> None:
    assert len(WRONG) >= 200
    assert len(RIGHT) >= 30


def test_most_wrong_configs_reach_every_check() -> None:
    assert sum(any(jobs_in(path)) for path in WRONG) >= 200


def test_every_wrong_config_states_its_origin_and_the_expected_error() -> None:
    for path in WRONG:
        expected = expected_of(path)

        assert path.read_text().startswith("# from: "), path
        assert expected.mistakes or expected.warnings, path


def test_no_right_config_expects_an_error() -> None:
    assert [path for path in RIGHT if expected_of(path).mistakes] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_command_line_reports_the_expected_errors(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = expected_of(path)

    exit_code = main(["validate", "--output", "json", str(path)])

    assert of_command_line(path, capsys.readouterr().out) == expected
    assert exit_code == (64 if expected.mistakes else 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_webhook_operator_and_trainer_report_the_same_errors(path: Path) -> None:
    expected = expected_of(path)
    jobs = list(jobs_in(path))
    if not jobs:
        return

    webhook = [of_webhook(job) for job in jobs]
    operator = [of_operator(job) for job in jobs]
    trainer = [mistakes_of_trainer(job) for job in jobs]

    said = tuple(sentence for verdict in webhook for sentence in verdict.mistakes)
    warned = tuple(sentence for verdict in webhook for sentence in verdict.warnings)
    assert bare(said) == bare(expected.mistakes)
    assert bare(warned) == bare(expected.warnings)
    for of_one, verdict, failure in zip(webhook, operator, trainer, strict=True):
        assert verdict.mistakes == of_one.mistakes
        # A refused config has no warnings yet: the condition names the required changes.
        assert verdict.mistakes or verdict.warnings == of_one.warnings
        # Missing environment variables are not checked in the trainer, which is never started.
        told = [sentence for sentence in of_one.mistakes if "the Secret of" not in sentence]
        assert all(sentence in failure for sentence in told)
        assert bool(failure) == bool(told)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_every_problem_is_reported_with_the_line_it_is_about(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = path.read_text().splitlines()

    main(["validate", "--output", "json", str(path)])

    for found in json.loads(capsys.readouterr().out):
        line = lines[found["line"] - 1]
        assert not line.startswith("#")
        if found["path"] and not found["message"].startswith("missing"):
            key = re.split(r"\.|\[\d+\]", found["path"])[-1]
            assert key in line
