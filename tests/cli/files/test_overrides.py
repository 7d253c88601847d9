# SPDX-License-Identifier: Apache-2.0
"""`--set`: the command line overrides the file, and gets the same checks."""

from pathlib import Path
from typing import Any

import pytest

from finetune_cli.files.job_file import Job, parse_job
from finetune_cli.files.overrides import parse_overrides
from finetune_cli.local.command_line import main
from finetune_trainer.failures.errors import AttemptFailed

JOB = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: balloon}
spec:
  config:
    model_name_or_path: s3://models/tiny
    dataset_name: s3://datasets/tiny
    learning_rate: 2e-4
    use_peft: true
  resources: {gpusPerNode: 2}
  output: {uri: s3://models/balloon, credentialsSecretRef: {name: bucket}}
"""


def parse(*settings: str) -> Job:
    return parse_job(JOB.encode(), "job.yaml", overrides=parse_overrides(settings))


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("seed=7", "seed", 7),
        ("packing=yes", "packing", True),
        ("system_message=Be brief = be kind.", "system_message", "Be brief = be kind."),
        ("run_name='7'", "run_name", "7"),
        ("lora_target_modules=[q_proj, v_proj]", "lora_target_modules", ["q_proj", "v_proj"]),
        ("env.WANDB_MODE=offline", "env", {"WANDB_MODE": "offline"}),
        ("datasets[0].path=s3://datasets/other", "datasets", [{"path": "s3://datasets/other"}]),
        ("spec.config.seed=8", "seed", 8),
    ],
)
def test_an_override_is_yaml_and_wins_over_the_file(setting: str, key: str, value: Any) -> None:
    assert parse(setting).config[key] == value


def test_an_override_of_null_removes_a_key() -> None:
    assert "learning_rate" not in parse("learning_rate=null").config.written


def test_the_last_override_of_a_key_wins_and_others_stay() -> None:
    config = parse("seed=1", "seed=2").config.written

    assert (config["seed"], config["learning_rate"]) == (2, 2e-4)


def test_job_fields_can_be_overridden_too() -> None:
    assert parse("spec.resources.gpusPerNode=0").gpus_per_node == 0


def test_a_dot_inside_a_key_is_escaped_with_a_backslash() -> None:
    assert parse(r"env.a\.b=1").config["env"] == {"a.b": 1}


def test_an_override_of_the_same_file_is_another_run() -> None:
    assert parse("seed=7").config.written != parse().config.written


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("learning_rte=1", "--set learning_rte: spec.config.learning_rte: "),
        ("learning_rte=1", "did you mean learning_rate?"),
        ("learning_rate=quick", '--set learning_rate: spec.config.learning_rate: found "quick"'),
        ("spec.resources.gpusPerNode=-1", "--set spec.resources.gpusPerNode: "),
        ("learning_rate", "--set learning_rate: expected key=value"),
        ("=1", "expected key=value"),
        ("seed=[1", "--set seed: found [ without its end"),
        ("learning_rate.x=1", "--set learning_rate.x: there is nothing to set x in"),
        ("datasets[3].path=x", "nothing to set 3 in"),
    ],
)
def test_an_error_in_an_override_names_the_option_instead_of_a_line(
    setting: str, words: str
) -> None:
    with pytest.raises(AttemptFailed) as caught:
        parse(setting)

    assert words in caught.value.failure.message


def test_an_override_can_correct_an_error_in_the_file() -> None:
    wrong = JOB.replace("2e-4", "fast")

    job = parse_job(wrong.encode(), "job.yaml", overrides=parse_overrides(["learning_rate=1e-4"]))

    assert job.config["learning_rate"] == 1e-4


def test_validate_and_plan_accept_overrides_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB)

    assert main(["validate", str(file), "--set", "seed=1", "--set", "max_steps=3"]) == 0
    assert main(["validate", str(file), "--set", "sed=1"]) == 64
    assert "--set sed: spec.config.sed: " in capsys.readouterr().out
    assert main(["plan", str(file), "--set", "sed=1"]) == 64
    assert main(["plan", str(file), "--set", "sed"]) == 64
    assert main(["validate", str(file), "--set", "sed"]) == 64


def test_an_override_of_a_bare_config_applies_at_its_top_level(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("model_name_or_path: org/model\ndataset_name: org/data\n")

    assert main(["validate", str(file), "--set", "learning_rate=fast"]) == 64
    assert '--set learning_rate: learning_rate: found "fast"' in capsys.readouterr().out
