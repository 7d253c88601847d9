# SPDX-License-Identifier: Apache-2.0
"""`finetune validate`: every error with its line, for people, programs and pull requests."""

import io
import json
from pathlib import Path

import pytest

from finetune_cli.local.command_line import main

GOOD = "model_name_or_path: tiny\ndataset_name: tiny\n"
BAD = f"{GOOD}learning_rte: 1e-4\n"
OLD = f"{GOOD}max_seq_length: 2048\n"
JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: balloon}
spec:
  config:
    model_name_or_path: tiny
    dataset_name: tiny
  output: {uri: s3://models/balloon}
"""
UNKNOWN = "learning_rte: not a key of TRL's SFT config, did you mean learning_rate?"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def validate(*arguments: str) -> int:
    return main(["validate", *arguments])


@pytest.mark.parametrize(
    ("text", "code", "strict"),
    [
        pytest.param(GOOD, 0, 0, id="nothing wrong"),
        pytest.param(JOB, 0, 0, id="a job"),
        pytest.param(OLD, 0, 64, id="a warning"),
        pytest.param(BAD, 64, 64, id="a mistake"),
        pytest.param("a: [", 64, 64, id="not YAML"),
        pytest.param("", 64, 64, id="an empty file"),
        pytest.param("just words", 64, 64, id="no mapping"),
        pytest.param("kind: Pod\napiVersion: v1\n", 66, 66, id="nothing to check"),
        pytest.param(f"{JOB}---\nkind: Secret\napiVersion: v1\n", 0, 0, id="among other kinds"),
    ],
)
def test_the_exit_code_shows_whether_a_file_must_be_changed(
    folder: Path, text: str, code: int, strict: int
) -> None:
    (folder / "job.yaml").write_text(text)

    assert validate("job.yaml") == code
    assert validate("--strict", "job.yaml") == strict


def test_text_output_has_file_line_column_and_counts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(BAD + "torch_dtype: bfloat16\n")

    validate("a.yaml")

    assert capsys.readouterr().out.splitlines() == [
        f"a.yaml:3:1: {UNKNOWN}",
        "a.yaml:4:1: warning: torch_dtype: an older spelling, read as dtype",
        "",
        "1 document checked: 1 mistake, 1 warning",
    ]


def test_json_is_a_list_of_problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text(BAD)
    (folder / "b.yaml").write_text(GOOD)

    validate("--output", "json", "a.yaml", "b.yaml")

    assert json.loads(capsys.readouterr().out) == [
        {
            "file": "a.yaml",
            "line": 3,
            "column": 1,
            "path": "learning_rte",
            "message": "not a key of TRL's SFT config, did you mean learning_rate?",
            "severity": "error",
        }
    ]


def test_github_output_has_one_escaped_command_per_problem(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "50%,a.yaml").write_text(f'{GOOD}"a,b:c%": 1\n')

    validate("--output", "github", "50%,a.yaml")

    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(
        "::error file=50%25%2Ca.yaml,line=3,col=1,title=a%2Cb%3Ac%25::a,b:c%25: not a key"
    )


def test_a_job_is_validated_as_the_api_server_would(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = JOB.replace("output: {uri: s3", "outputs: {uri: s3") + "  resources: {nodes: two}\n"
    (folder / "job.yaml").write_text(text)

    validate("job.yaml")

    assert capsys.readouterr().out.splitlines()[:2] == [
        "job.yaml:8:3: spec.outputs: unknown field, did you mean output?",
        'job.yaml:9:15: spec.resources.nodes: found "two", expected a whole number',
    ]


def test_standard_input_is_accepted_as_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))

    assert validate("-") == 64
    assert capsys.readouterr().out.startswith(f"<stdin>:3:1: {UNKNOWN}")


def test_a_list_of_jobs_printed_by_kubectl_is_validated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = "".join(f"- {line}" if line[0] == "a" else f"  {line}" for line in JOB.splitlines(True))
    text = f"apiVersion: v1\nkind: List\nitems:\n{items.replace('s3:', 'http:')}"
    (folder / "jobs.yaml").write_text(text)

    assert validate("jobs.yaml") == 64
    assert capsys.readouterr().out.startswith("jobs.yaml:11:14: spec.output.uri: found")


def test_only_jobs_and_configs_of_a_directory_are_validated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "sub/bad.yaml": BAD,
        "sub/job.yml": JOB,
        "values.yaml": "image: {tag: 1}\nreplicas: 2\n",
        "chart/pod.yaml": "kind: Pod\nmetadata: {name: {{ .Values.name }}}\n",
        "notes.txt": BAD,
        ".hidden/bad.yaml": BAD,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    assert validate(".") == 64
    assert capsys.readouterr().out.splitlines() == [
        "chart/pod.yaml: skipped, not readable as YAML, and does not look like a job",
        "",
        f"sub/bad.yaml:3:1: {UNKNOWN}",
        "",
        "values.yaml: skipped, no FineTuneJob, FineTuneSchedule or SFT config",
        "",
        "2 documents checked: 1 mistake, 0 warnings",
    ]


def test_an_unreadable_job_in_a_directory_is_not_skipped(folder: Path) -> None:
    (folder / "job.yaml").write_text(f"{JOB}\tbroken")

    assert validate(".") == 64


def test_an_unreadable_file_is_reported_next_to_the_results_of_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text(BAD)

    assert validate("missing.yaml", "bad.yaml") == 66
    captured = capsys.readouterr()
    assert "bad.yaml:3:1:" in captured.out
    assert captured.err == "missing.yaml cannot be read: No such file or directory\n"


@pytest.mark.parametrize("kind", ["FinetuneJob", "FineTuningJob", "fine-tune-job", "FineTuneJobs"])
def test_a_misspelled_kind_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (folder / "job.yaml").write_text(JOB.replace("FineTuneJob", kind))

    assert validate("job.yaml") == 64
    assert f'kind: found "{kind}", expected "FineTuneJob"' in capsys.readouterr().out


def test_no_problem_of_a_config_is_reported_twice(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.yaml").write_text(f"{GOOD}learning_rate: .inf\n")

    validate("a.yaml")

    assert capsys.readouterr().out.count("a.yaml:3:") == 1


NIGHTLY = Path(__file__).parents[3] / "configs" / "examples" / "nightly.yaml"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            "timeZone: Europe/Berlin",
            "timezone: Europe/Berlin",
            "9:3: spec.timezone: unknown field, did you mean timeZone?",
            id="a field",
        ),
        pytest.param(
            'schedule: "0 2 * * *"',
            "suspend: false",
            "7:1: spec.schedule: missing: when to train, such as `0 2 * * *` for two o'clock each "
            "night",
            id="no time",
        ),
        pytest.param(
            "Europe/Berlin",
            "Europe/Berlim",
            '9:3: spec.timeZone: found "Europe/Berlim", did you mean Europe/Berlin?',
            id="a time zone",
        ),
        pytest.param(
            "learning_rate:",
            "learning_rat:",
            "26:9: spec.jobTemplate.spec.config.learning_rat: not a key of TRL's SFT "
            "config, did you mean learning_rate?",
            id="a key of the config",
        ),
        pytest.param(
            "  jobTemplate:\n",
            "  config: {}\n  jobTemplate:\n",
            "14:3: spec.config: unknown field: it belongs under spec.jobTemplate.spec",
            id="a job's field next to its template",
        ),
        pytest.param(
            "gpusPerNode: 0",
            "gpus: 0",
            "29:9: spec.jobTemplate.spec.resources.gpus: unknown field: write gpusPerNode",
            id="a field of its jobs",
        ),
    ],
)
def test_a_schedule_is_validated_with_its_job_template(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    text = NIGHTLY.read_text()
    assert old in text
    (folder / "nightly.yaml").write_text(text)
    (folder / "wrong.yaml").write_text(text.replace(old, new))

    assert validate("nightly.yaml") == 0
    assert capsys.readouterr().out == "1 document checked: 0 mistakes, 0 warnings\n"
    assert validate("wrong.yaml") == 64
    assert f"wrong.yaml:{told}" in capsys.readouterr().out


def test_a_schedules_config_can_be_overridden_on_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "nightly.yaml").write_text(NIGHTLY.read_text())

    assert validate("nightly.yaml", "--set", "learning_rate=1e-4") == 0
    assert validate("nightly.yaml", "--set", "learning_rat=1e-4") == 64
    assert "spec.jobTemplate.spec.config.learning_rat" in capsys.readouterr().out
