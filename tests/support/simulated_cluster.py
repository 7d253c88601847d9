# SPDX-License-Identifier: Apache-2.0
"""A cluster in memory around one FineTuneJob: Job controller, kubelet, garbage collector, queue."""

import copy
from typing import Any

from finetune_contract.outcome import Category, Outcome
from finetune_operator.job.observe.endings import has_ended
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.objects import conditions
from finetune_operator.objects.names import (
    CONFIG_MAPS,
    FINETUNE_JOBS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    TRAINING_JOBS,
)
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import render_time
from support.factories import NOW, a_bad_outcome, a_job_body
from support.simulated_api import Etcd

NAME = "balloon"
STOPPED = a_bad_outcome(Category.INTERRUPTION, reason="Interrupted")
"""The outcome of a trainer that was stopped."""


class SimulatedCluster:
    """Each of its parts works when it is called, and returns whether it had work."""

    def __init__(self, **spec: Any) -> None:
        self.clock = NOW
        self.etcd = Etcd()
        self.has_sidecars = False
        """Whether something injects a container that never ends by itself into new pods."""
        self.is_queued = False
        """Whether a queue holds new Jobs back."""
        self._spec = spec
        self.apply()

    @property
    def job(self) -> Any:
        return self.etcd.find(FINETUNE_JOBS, NAME)

    @property
    def status(self) -> Any:
        return self.job.get("status", {})

    def training_jobs(self) -> list[Any]:
        return self.etcd.all(TRAINING_JOBS)

    def pods(self) -> list[Any]:
        return self.etcd.all(PODS)

    def stamp(self) -> str:
        return render_time(self.clock)

    def apply(self) -> None:
        body = a_job_body(NAME, **self._spec)
        self.etcd.create(FINETUNE_JOBS, body, self.stamp())

    def edit(self, **spec: Any) -> None:
        job = self.job
        before = copy.deepcopy(job["spec"])
        job["spec"] |= spec
        if job["spec"] != before:
            job["metadata"]["generation"] += 1
            self.etcd.touch(FINETUNE_JOBS, job)

    def control_jobs(self) -> bool:
        """The Job controller; returns whether it had work."""
        return sum(self._control(training_job) for training_job in self.training_jobs()) > 0

    def _control(self, training_job: Any) -> bool:
        status = training_job.setdefault("status", {})
        if status.get("conditions") or "deletionTimestamp" in training_job["metadata"]:
            return False
        own = self._own_pods(training_job)
        live = [pod for pod in own if not has_ended(pod)]
        if training_job["spec"].get("suspend"):
            return self._stop(live) or self._set_start(training_job, None)
        is_gang = training_job["spec"].get("completionMode") == "Indexed"
        ended = [pod for pod in own if has_ended(pod)]
        failed = [pod for pod in ended if pod["status"]["phase"] == "Failed"]
        fatal = failed if is_gang else [pod for pod in failed if not _was_disrupted(pod)]
        if fatal:
            return self._stop(live) or (not live and self._end(training_job, "Failed"))
        wanted = training_job["spec"]["parallelism"]
        succeeded = len(ended) - len(failed)
        if succeeded >= wanted:
            return self._end(training_job, "Complete")
        missing = wanted - succeeded - len(live)
        for _ in range(missing):
            self._make_pod(training_job)
        return bool(self._set_start(training_job, self.stamp()) or missing > 0)

    def _set_start(self, training_job: Any, moment: str | None) -> bool:
        status = training_job["status"]
        if (moment is None) == ("startTime" not in status):
            return False
        status.pop("startTime", None)
        if moment is not None:
            status["startTime"] = moment
        self.etcd.touch(TRAINING_JOBS, training_job)
        return True

    def _end(self, training_job: Any, type_: str) -> bool:
        training_job["status"]["conditions"] = [
            {"type": type_, "status": "True", "lastTransitionTime": self.stamp()}
        ]
        self.etcd.touch(TRAINING_JOBS, training_job)
        return True

    def _make_pod(self, training_job: Any) -> None:
        metadata = training_job["metadata"]
        name = f"{metadata['name']}-{self.etcd.made}"
        owner = {"uid": metadata["uid"], "controller": True}
        body = {
            "metadata": {
                "namespace": metadata["namespace"],
                "name": name,
                "labels": dict(metadata["labels"]),
                "ownerReferences": [owner],
            },
            "status": {"phase": "Pending"},
            "spec": {"sidecar": self.has_sidecars},
        }
        self.etcd.create(PODS, body, self.stamp())

    def _own_pods(self, training_job: Any) -> list[Any]:
        uid = training_job["metadata"]["uid"]
        return [pod for pod in self.pods() if controller_uid(pod) == uid]

    def _stop(self, pods: list[Any]) -> bool:
        going = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        for pod in going:
            pod["metadata"]["deletionTimestamp"] = self.stamp()
            self.etcd.touch(PODS, pod)
        return bool(going)

    def run_pods(self, outcome: Outcome) -> bool:
        """The kubelet: waiting pods start, ending pods report their end, then are deleted."""
        return sum(self._run(pod, outcome) for pod in self.pods()) > 0

    def _run(self, pod: Any, outcome: Outcome) -> bool:
        phase, is_going = pod["status"]["phase"], "deletionTimestamp" in pod["metadata"]
        if is_going and (has_ended(pod) or phase == "Pending"):
            self.etcd.remove(PODS, pod["metadata"]["name"])
        elif phase == "Pending":
            pod["status"]["phase"] = "Running"
            self.etcd.touch(PODS, pod)
        elif phase == "Running" and _is_kept(pod):
            # Kept by a sidecar, which ends only on request.
            return is_going and self._end_sidecar(pod)
        elif phase == "Running":
            self._end_pod(pod, STOPPED if is_going else outcome)
        else:
            return False
        return True

    def _end_pod(self, pod: Any, outcome: Outcome) -> None:
        terminated = {
            "exitCode": outcome.exit_code,
            "message": outcome.to_json(),
            "finishedAt": self.stamp(),
        }
        found = [{"name": "trainer", "state": {"terminated": terminated}}]
        if pod["spec"]["sidecar"]:
            found.append({"name": "proxy", "state": {"running": {}}})
        else:
            pod["status"]["phase"] = "Failed" if outcome.exit_code else "Succeeded"
        pod["status"]["containerStatuses"] = found
        self.etcd.touch(PODS, pod)

    def _end_sidecar(self, pod: Any) -> bool:
        pod["status"]["containerStatuses"][1]["state"] = {"terminated": {"exitCode": 143}}
        pod["status"]["phase"] = "Failed"
        self.etcd.touch(PODS, pod)
        return True

    def collect_garbage(self) -> bool:
        """Deletes objects without an owner; an owner that waits for its dependents is deleted after
        them.
        """
        uids = {found["metadata"]["uid"] for found in self.etcd.objects.values()}
        has_changed = False
        for resource in (TRAINING_JOBS, CONFIG_MAPS, SERVICES, NETWORK_POLICIES):
            for found in self.etcd.all(resource):
                if not _is_owned(found, uids):
                    self.etcd.remove(resource, found["metadata"]["name"])
                    has_changed = True
        for training_job in self.training_jobs():
            if "deletionTimestamp" in training_job["metadata"]:
                own = self._own_pods(training_job)
                if own:
                    has_changed |= self._remove_ended(own) or self._stop(own)
                else:
                    self.etcd.remove(TRAINING_JOBS, training_job["metadata"]["name"])
                    has_changed = True
        orphans = [pod for pod in self.pods() if not _is_owned(pod, uids)]
        bare = [pod for pod in self.pods() if controller_uid(pod) is None]
        going = [pod for pod in bare if "deletionTimestamp" in pod["metadata"]]
        return self._remove_ended([*orphans, *going]) or self._stop(orphans) or has_changed

    def _remove_ended(self, pods: list[Any]) -> bool:
        ended = [pod for pod in pods if has_ended(pod)]
        for pod in ended:
            self.etcd.remove(PODS, pod["metadata"]["name"])
        return bool(ended)

    def hold(self, *, is_held: bool) -> bool:
        """The queue admits the Jobs, or suspends them again."""
        changed = False
        for training_job in self.training_jobs():
            has_ended_ = bool(training_job.get("status", {}).get("conditions"))
            if has_ended_ or training_job["spec"].get("suspend", False) == is_held:
                continue
            training_job["spec"]["suspend"] = is_held
            self.etcd.touch(TRAINING_JOBS, training_job)
            changed = True
        return changed


def _is_owned(found: Body, uids: set[str]) -> bool:
    """Whether the garbage collector keeps it; also for objects that never had an owner."""
    owner = controller_uid(found)
    return owner is None or owner in uids


def _is_kept(pod: Body) -> bool:
    return bool(pod["spec"]["sidecar"] and pod["status"].get("containerStatuses"))


def _was_disrupted(pod: Body) -> bool:
    return conditions.is_true(pod["status"].get("conditions", ()), "DisruptionTarget")
