# SPDX-License-Identifier: Apache-2.0
"""`kubectl finetune`, started by a real kubectl with a real API server; the pods are simulated."""

from pathlib import Path

import pytest
import yaml

from cluster.replicas import Stage, finish, is_begun, wait_until
from cluster.shell import Shell
from finetune_contract.progress import Progress, TrainerPhase
from testbed.control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


@pytest.fixture
def shell(plane: ControlPlane, team: str, tmp_path: Path) -> Shell:
    return Shell(plane.kubeconfig, team, tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A user's job file."""
    config = {"model_name_or_path": "s3://models/tiny", "dataset_name": "s3://datasets/tiny"}
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "mine"},
        "spec": {"config": config, "output": {"uri": "s3://models/mine"}},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


@pytest.fixture
def training(stage: Stage) -> str:
    """A training job that has reported a loss."""
    name = stage.apply("training")
    wait_until(lambda: is_begun(stage, name) and len(stage.pods()) == 1, "its pod is made")
    (pod,) = stage.pods()
    stage.play_running(pod)
    token = stage.token_of(pod, name)
    told = Progress(phase=TrainerPhase.TRAINING, step=5, total_steps=10, loss=1.5)

    def is_told() -> bool:
        stage.leader().report(stage.namespace, name, token, told)
        return "lossHistory" in stage.status(name)

    wait_until(is_told, "the loss is known")
    return name


def test_run_applies_a_file_and_follows_its_job_to_the_end(
    stage: Stage, shell: Shell, file: Path
) -> None:
    with shell.running("kubectl", "finetune", "run", str(file)) as run:
        assert run.stderr is not None
        assert any(line.startswith("Starting: ") for line in run.stderr)
        finish(stage, "mine")
        output, problems = run.communicate(timeout=120)

    assert run.returncode == 0, problems
    assert "mine serverside-applied" in output
    assert "Succeeded after" in output
    assert "  artifact  s3://" in output


def test_a_running_job_can_be_plotted_compared_stopped_and_resumed(
    stage: Stage, shell: Shell, training: str
) -> None:
    stage.apply("other", resources={"gpusPerNode": 2})

    plotted = shell.finetune("plot", training)
    compared = shell.finetune("diff", training, "other")
    told = shell.finetune("results", training)
    stopped = shell.finetune("stop", training)
    is_suspended = (stage.job(training) or {})["spec"]["suspend"]
    resumed = shell.finetune("resume", training)

    assert "training" in plotted.stdout
    assert ["resources.gpusPerNode", "1", "2"] in [
        line.split() for line in compared.stdout.splitlines()
    ]
    assert told.stdout.startswith("Running: ")
    assert "attempt   1  Running" in told.stdout
    assert (stopped.returncode, is_suspended) == (0, True)
    assert (resumed.returncode, (stage.job(training) or {})["spec"]["suspend"]) == (0, False)


def test_validate_uses_a_server_dry_run_and_starts_nothing(
    plane: ControlPlane, shell: Shell, team: str, file: Path
) -> None:
    done = shell.finetune("validate", str(file))

    assert done.returncode == 0
    assert "server dry run" in done.stdout
    assert plane.kubectl("get", "finetunejobs", "-n", team, "-o", "name") == ""


def test_plan_describes_a_file_without_contacting_the_cluster(shell: Shell, file: Path) -> None:
    done = shell.finetune("plan", str(file))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine: one process")


def test_a_refusal_by_the_api_server_is_quoted(shell: Shell, file: Path) -> None:
    file.write_text(file.read_text().replace("uri:", "url:"))

    done = shell.finetune("run", str(file))

    assert done.returncode == 1
    assert done.stderr.endswith(".spec.output.url: field not declared in schema\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("watch", "nowhere"), 1, 'finetunejobs.finetune.dev "nowhere" not found'),
        (("logs", "nowhere"), 1, 'finetunejobs.finetune.dev "nowhere" not found'),
        (("run", "nowhere.yaml"), 66, "nowhere.yaml cannot be read: No such file or directory"),
    ],
)
def test_a_missing_job_or_file_is_reported_in_one_sentence(
    shell: Shell, words: tuple[str, ...], code: int, told: str
) -> None:
    done = shell.finetune(*words)

    assert done.returncode == code
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_tab_completion_offers_commands_and_names(stage: Stage, shell: Shell) -> None:
    name = stage.apply("completed")

    commands = shell.run("kubectl", "__complete", "finetune", "re").stdout.splitlines()
    elsewhere = ("-n", stage.namespace)
    words = ("kubectl", "__complete", "finetune", "watch", *elsewhere, "")
    names = shell.run(*words).stdout.splitlines()

    assert commands[:2] == ["results", "resume"]
    assert names[0] == name
