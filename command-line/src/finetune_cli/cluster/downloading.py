# SPDX-License-Identifier: Apache-2.0
"""Downloads a job's results to this machine, through a pod that may read its store."""

import json
import shlex
import tarfile
from pathlib import Path

from finetune_cli.cluster import job_texts, results_pod
from finetune_cli.cluster.kubectl import Kubectl
from finetune_cli.cluster.results_pod import Body
from finetune_cli.terminal.exits import KUBECTL_FAILED, NO_INPUT, Refused
from finetune_cli.terminal.new_folder import require_new
from finetune_contract.shallow import parse_json

PATIENCE = "10m"
"""A node without the trainer's image must first pull some gigabytes."""


def download(kubectl: Kubectl, job: Body, folder: Path) -> None:
    """Downloads a job's adapter or model, its report, and their manifest into a new directory.

    Raises:
        Refused: the directory is not empty, there is nothing to download, or the download is
          incomplete.
    """
    name = job["metadata"]["name"]
    require_new(folder)
    if not (artifact := job.get("status", {}).get("artifact")):
        raise Refused(f"{name} has published nothing", NO_INPUT)
    if (batch_job := _newest_batch_job(kubectl, job)) is None:
        # To be pasted: a status may contain any text.
        command = shlex.join(["finetune", "download", "--", artifact["uri"], str(folder)])
        raise Refused(
            f"{name} has no batch Job left whose account can read its store; with your own "
            f"credentials: {command}"
        )
    manifest = json.dumps(results_pod.build_pod(job, batch_job))
    pod = kubectl.run("create", "-f", "-", "-o", "name", given=manifest).strip()
    try:
        kubectl.run("wait", "--for=condition=Ready", pod, f"--timeout={PATIENCE}")
        _unpack(kubectl, pod, artifact["uri"], folder)
    finally:
        kubectl.run("delete", pod, "--wait=false", "--ignore-not-found")


def _newest_batch_job(kubectl: Kubectl, job: Body) -> Body | None:
    *_, newest = "", *job_texts.batch_jobs(job)
    if not newest:
        return None
    printed = kubectl.run("get", "jobs.batch", newest, "--ignore-not-found", "-o", "json")
    found: Body | None = parse_json(printed.encode()) if printed else None
    return found


def _unpack(kubectl: Kubectl, pod: str, uri: str, folder: Path) -> None:
    words = ("exec", pod, "--", *results_pod.COMMAND, uri, "-")
    try:
        with (
            kubectl.reading(*words) as printed,
            tarfile.open(fileobj=printed, mode="r|") as archive,
        ):
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, Refused) as error:
        raise Refused(f"{folder} is not complete: {error}", KUBECTL_FAILED) from None
