# SPDX-License-Identifier: Apache-2.0
"""FineTuneJobs as a user handles them: through kubectl, and by waiting for their status."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

EXAMPLE = Path(__file__).parents[2] / "configs" / "examples" / "first-job.yaml"

Resource = dict[str, Any]


class Kubectl(Protocol):
    """Runs kubectl or helm and returns its output; raises with its error if it fails."""

    def __call__(self, *arguments: str, input: str | None = None) -> str: ...


def a_job(name: str, *, like: Path = EXAMPLE, **config: Any) -> Resource:
    """The example with another name and output location, and these config keys changed.

    A key set to None is removed.
    """
    job: Resource = yaml.safe_load(like.read_text())
    job["metadata"]["name"] = name
    job["spec"]["output"]["uri"] = f"s3://models/{name}"
    merged = job["spec"]["config"] | config
    job["spec"]["config"] = {key: value for key, value in merged.items() if value is not None}
    return job


def a_short_job(name: str, *, steps: int, **config: Any) -> Resource:
    """A job whose steps take less than a second each, without held-out prompts."""
    short: dict[str, Any] = {
        "dataset_name": "s3://datasets/windrose/train.jsonl",
        "per_device_train_batch_size": 1,
        "learning_rate": 2e-4,
        "num_train_epochs": None,
        "max_steps": steps,
        "eval_strategy": None,
        "save_strategy": "no",
        "save_steps": None,
    }
    return a_job(name, **short | config)


def message_of(status: Resource) -> str:
    """The main message of a status; empty before the first pass of the operator."""
    conditions = status.get("conditions", ())
    return next((str(it["message"]) for it in conditions if it["type"] == "Ready"), "")


def unreviewed(job: Resource) -> Resource:
    """The same job, stored without a call of the admission webhook."""
    labels = {"finetune.dev/admission": "ignore"}
    return {**job, "metadata": {**job["metadata"], "labels": labels}}


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The FineTuneJobs of one namespace."""

    kubectl: Kubectl
    namespace: str

    def run(self, *arguments: str, input: str | None = None) -> str:
        return self.kubectl("--namespace", self.namespace, *arguments, input=input)

    def apply(self, job: Resource) -> str:
        """Applies it, and returns its name."""
        self.run("apply", "-f", "-", input=json.dumps(job))
        return str(job["metadata"]["name"])

    def get(self, name: str) -> Resource:
        return self._get("finetunejob", name)

    def status(self, name: str) -> Resource:
        status: Resource = self.get(name).get("status", {})
        return status

    def condition(self, name: str, kind: str) -> Resource:
        """The condition of this type; empty if there is none."""
        for condition in self.status(name).get("conditions", []):
            if condition["type"] == kind:
                found: Resource = condition
                return found
        return {}

    def training_jobs(self, name: str) -> list[Resource]:
        """The batch Jobs of this job, in the order of its attempts."""
        jobs = self._list("jobs.batch", name)
        return sorted(jobs, key=lambda job: int(job["metadata"]["labels"]["finetune.dev/attempt"]))

    def pods(self, name: str) -> list[Resource]:
        return self._list("pods", name)

    def running_pod(self, name: str) -> Resource | None:
        for pod in self.pods(name):
            if (
                pod["status"].get("phase") == "Running"
                and "deletionTimestamp" not in pod["metadata"]
            ):
                return pod
        return None

    @staticmethod
    def container_of(pod: Resource) -> str:
        """The container runtime's id of a pod's only container."""
        statuses = pod["status"]["containerStatuses"]
        return str(statuses[0]["containerID"]).removeprefix("containerd://")

    def wait_until(
        self, name: str, holds: Callable[[Resource], object], *, seconds: float, what: str
    ) -> Resource:
        """Waits until this is true for the job's status, and returns that status.

        Raises:
            AssertionError: it is not within this many seconds; with the last status seen.
        """
        status: Resource = {}
        for _ in until(seconds):
            status = self.status(name)
            if holds(status):
                return status
        raise AssertionError(
            f"{name}: {what} did not come about in {seconds:.0f} s; last status:\n"
            + yaml.safe_dump(status, sort_keys=False)
        )

    def wait_for_end(self, name: str, *, seconds: float = 420) -> Resource:
        """Waits until the job has succeeded or failed, and returns its status."""
        return self.wait_until(
            name,
            lambda status: status.get("phase") in ("Succeeded", "Failed"),
            seconds=seconds,
            what="an end",
        )

    def wait_for_step(self, name: str, step: int, *, seconds: float = 240) -> Resource:
        """Waits until the running trainer has reported this step."""
        return self.wait_until(
            name,
            lambda status: step_of(status) >= step,
            seconds=seconds,
            what=f"step {step}",
        )

    def _get(self, kind: str, name: str) -> Resource:
        resource: Resource = json.loads(self.run("get", kind, name, "-o", "json"))
        return resource

    def _list(self, kind: str, name: str) -> list[Resource]:
        listed = json.loads(
            self.run("get", kind, "--selector", f"finetune.dev/job={name}", "-o", "json")
        )
        items: list[Resource] = listed["items"]
        return items


def step_of(status: Mapping[str, Any]) -> int:
    """The step in the status; -1 before any."""
    return int(status.get("progress", {}).get("step", -1))


def until(seconds: float, every: float = 0.5) -> Iterator[None]:
    """Yields repeatedly until the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(every)
