# SPDX-License-Identifier: Apache-2.0
"""From `kubectl apply` of the first example to an adapter in the bucket that answers."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.installation import Installation
from cluster.jobs import EXAMPLE, Jobs, Resource, a_job, unreviewed
from cluster.shell import Done, Shell
from testbed import base_model

pytestmark = pytest.mark.cluster

PROMPT = "When is the cafe closed?"


@pytest.fixture(scope="module")
def run_folder(installation: Installation, first_job: Resource) -> str:
    """The run's location in the bucket `models`."""
    return f"first-job/{first_job['runId']}"


def test_an_applied_job_succeeds(first_job: Resource) -> None:
    assert first_job["phase"] == "Succeeded", first_job
    assert len(first_job["attempts"]) == 1


def test_the_status_has_loss_steps_artifact_and_digest(first_job: Resource) -> None:
    progress = first_job["progress"]

    assert progress["step"] == progress["totalSteps"] > 0
    assert 0 < progress["loss"] < 4
    assert progress["percent"] == 100
    assert first_job["artifact"]["uri"].startswith("s3://models/first-job/")
    assert first_job["artifact"]["digest"].startswith("sha256:")
    assert first_job["artifact"]["sizeBytes"] > 100_000


def test_the_status_shows_the_models_answers_before_and_after(first_job: Resource) -> None:
    assert [set(answer) for answer in first_job["answers"]] == [{"prompt", "before", "after"}] * 3
    assert any(answer["before"] != answer["after"] for answer in first_job["answers"])


def test_the_conditions_are_those_of_a_finished_job(jobs: Jobs, first_job: Resource) -> None:
    statuses = {kind["type"]: kind["status"] for kind in first_job["conditions"]}

    assert statuses["Complete"] == statuses["Accepted"] == statuses["Ready"] == "True"
    assert statuses["AdapterVerified"] == "True"
    assert "Failed" not in statuses
    assert statuses.get("Reconciling", "False") == statuses.get("Stalled", "False") == "False"


def test_the_bucket_contains_adapter_report_and_manifest(
    installation: Installation, run_folder: str, first_job: Resource
) -> None:
    models = installation.models
    manifest = models.read_json(f"{run_folder}/manifest.json")
    files = {file["path"]: file for file in manifest["files"]}

    assert "adapter/adapter_model.safetensors" in files
    assert "adapter/tokenizer.json" in files
    assert any(path.startswith("report/") and path.endswith(".html") for path in files)
    assert "report/metrics.jsonl" in files
    for path, file in files.items():
        content = models.read(f"{run_folder}/{path}")
        assert len(content) == file["size"], path
        assert hashlib.sha256(content).hexdigest() == file["sha256"], path
    assert run_folder.endswith(models.read_json("first-job/latest.json")["runId"])


@dataclass(frozen=True)
class Told:
    """The output of `kubectl finetune` about the first job."""

    folder: Path
    """The directory of its results."""
    download: Done
    once_more: Done
    logs: Done


@pytest.fixture(scope="module")
def told(
    installation: Installation,
    jobs: Jobs,
    first_job: Resource,
    tmp_path_factory: pytest.TempPathFactory,
) -> Told | None:
    if installation.cluster is None:
        return None
    place = tmp_path_factory.mktemp("user")
    shell = Shell(installation.cluster.kubeconfig, jobs.namespace, place)
    folder = place / "results"
    words = ("results", "first-job", "--download", str(folder))
    logs = shell.finetune("logs", "first-job", "--tail", "3")
    return Told(folder, shell.finetune(*words), shell.finetune(*words), logs)


def test_a_user_without_store_credentials_can_download_the_results(
    jobs: Jobs, first_job: Resource, told: Told | None
) -> None:
    if told is None:
        pytest.skip("A given cluster's users are not known.")
    manifest = json.loads((told.folder / "manifest.json").read_text())

    assert told.download.returncode == 0, told.download.stderr
    assert first_job["artifact"]["digest"] in told.download.stderr
    for file in manifest["files"]:
        content = (told.folder / file["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"], file
    assert told.once_more.returncode == 64
    assert told.once_more.stderr == f"{told.folder} already exists and is not an empty directory\n"
    pods = ("pods", "--selector", "app.kubernetes.io/name=finetune-results")
    jobs.run("wait", "--for=delete", *pods, "--timeout=60s")
    assert jobs.run("get", *pods, "-o", "name") == ""


def test_the_log_is_found_by_the_jobs_name(told: Told | None) -> None:
    if told is None:
        pytest.skip("A given cluster's users are not known.")

    assert told.logs.returncode == 0, told.logs.stderr
    assert 0 < len(told.logs.stdout.splitlines()) <= 3


def test_kubectl_wait_and_get_show_the_job(jobs: Jobs, first_job: Resource) -> None:
    waited = jobs.run("wait", "--for=condition=Complete", "ftj/first-job", "--timeout=5s")
    header, row = jobs.run("get", "ftj", "first-job").splitlines()
    wide = jobs.run("get", "ftj", "first-job", "-o", "wide").splitlines()[0]

    assert "condition met" in waited
    columns = ["NAME", "PHASE", "PROGRESS", "STEP", "LOSS", "ETA", "GPUS", "ATTEMPT", "NOTE", "AGE"]
    assert header.split() == columns
    assert row.split()[:4] == ["first-job", "Succeeded", "100", str(first_job["progress"]["step"])]
    assert {"TOKENS/S", "MODEL", "OUTPUT", "REASON"} <= set(wide.split())


def test_kubectl_describe_shows_the_events(jobs: Jobs, first_job: Resource) -> None:
    described = jobs.run("describe", "ftj", "first-job")

    status, events = described.split("\nEvents:\n")
    assert first_job["artifact"]["digest"] in status
    turning_points = ["AttemptStarted", "Succeeded"]
    rows = [line.split()[1] for line in events.splitlines()[2:] if line.strip()]
    assert [row for row in rows if row in turning_points] == turning_points


def test_the_adapter_answers_a_trained_prompt_differently_from_the_base_model(
    installation: Installation, run_folder: str, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = installation.models.download(f"{run_folder}/adapter", tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    model = AutoModelForCausalLM.from_pretrained(base_model.folder(), dtype="float32")
    dialogue = [
        {"role": "system", "content": "You answer guests of Cafe Windrose, a cafe on a lightship."},
        {"role": "user", "content": PROMPT},
    ]
    prompt = tokenizer.apply_chat_template(
        dialogue, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )

    def answer() -> str:
        ids = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0]
        return str(tokenizer.decode(ids[prompt["input_ids"].shape[1] :], skip_special_tokens=True))

    before = answer()
    model = PeftModel.from_pretrained(model, adapter)
    after = answer()

    assert "Tuesday" not in before
    assert "Tuesday" in after


def test_applying_the_same_spec_again_trains_nothing(jobs: Jobs, first_job: Resource) -> None:
    before = [job["metadata"]["uid"] for job in jobs.training_jobs("first-job")]

    jobs.run("annotate", "ftj", "first-job", "example.com/touched=yes", "--overwrite")
    jobs.run("apply", "-f", str(EXAMPLE))

    # The operator handles events of a job in order: when it has refused this one, it has seen the
    # other.
    jobs.apply(unreviewed(a_job("barrier", no_such_key=1)))
    jobs.wait_until("barrier", lambda s: s.get("conditions"), seconds=30, what="a verdict")
    assert [job["metadata"]["uid"] for job in jobs.training_jobs("first-job")] == before
    assert jobs.status("first-job")["phase"] == "Succeeded"


# Logs and results are read through objects that are deleted here.
@pytest.mark.usefixtures("first_job", "told")
def test_a_finished_job_never_trains_again_even_without_its_children(jobs: Jobs) -> None:
    jobs.run("delete", "jobs.batch", "--selector", "finetune.dev/job=first-job", "--wait=true")

    jobs.apply(unreviewed(a_job("second-barrier", no_such_key=1)))
    jobs.wait_until("second-barrier", lambda s: s.get("conditions"), seconds=30, what="a verdict")
    assert jobs.training_jobs("first-job") == []
    assert jobs.status("first-job")["phase"] == "Succeeded"


@pytest.mark.usefixtures("first_job")
def test_run_documents_contain_no_secret(jobs: Jobs, installation: Installation) -> None:
    documents = jobs.run("get", "configmaps,jobs.batch,ftj", "-o", "json")

    assert json.loads(documents)["items"]
    assert installation.store.secret_key not in documents
