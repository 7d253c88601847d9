# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster of one node, for tests and for people.

with Cluster.up() as cluster:
    cluster.load("localhost/finetune-operator:dev")
    cluster.install(Path("crds"), Path("deploy"))
    cluster.kubectl("get", "pods", "-A")
"""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import binaries, cache, configuration, images, requirements
from testbed.addresses import NODE
from testbed.components import Component, all_components, store_settings
from testbed.containerd import Containerd
from testbed.folder import Connection, Folder
from testbed.forwarder import forward
from testbed.keeper import keep
from testbed.narration import step
from testbed.object_store import ObjectStore
from testbed.shutdown import end, remove_dead_clusters
from testbed.startup import bring_up, last_lines, last_words, start

_LAST_LINES = 20


class Cluster:
    """A running cluster."""

    def __init__(self, folder: Folder, connection: Connection) -> None:
        self._folder = folder
        self._connection = connection
        self._namespaces = connection.namespaces
        programs = binaries.cluster_programs()
        self._kubectl = programs["kubectl"]
        self._components = all_components(folder, programs)
        self._containerd = Containerd(folder, self._namespaces)

    @classmethod
    @contextmanager
    def up(cls, name: str | None = None, *, owned: bool = True) -> "Iterator[Cluster]":
        """A new cluster for the duration of a block.

        An owned one ends with this process, even if the process is killed. One that is not owned
        outlives the block, can be found by other processes, and ends with `down`.
        """
        cluster = cls.create(name, owned=owned)
        try:
            yield cluster
        finally:
            if owned:
                cluster.down()

    @classmethod
    def create(cls, name: str | None = None, *, owned: bool) -> "Cluster":
        """Starts a new cluster, after installing and building everything it needs.

        Raises:
            Missing: the machine cannot run one.
            FileExistsError: there is one of this name.
        """
        folder = Folder.named(name or f"test-{secrets.token_hex(3)}")
        requirements.install()
        programs = binaries.cluster_programs()
        images.build_pause()
        with cache.locked(cache.root() / "clusters.lock"):
            remove_dead_clusters()
            folder.create()
            try:
                configuration.write(folder)
                namespaces = keep(folder, os.getpid() if owned else None)
            except BaseException:
                folder.remove()
                raise
        try:
            bring_up(folder, namespaces, all_components(folder, programs))
            return cls.find(folder.name)
        except TimeoutError as failure:
            message = f"{failure}\n{last_words(folder)}"
            end(folder)
            raise RuntimeError(message) from failure
        except BaseException:
            end(folder)
            raise

    @classmethod
    def find(cls, name: str) -> "Cluster":
        """The cluster of this name.

        Raises:
            LookupError: it is not running.
        """
        folder = Folder.named(name)
        connection = folder.connection()
        if connection is None:
            raise LookupError(f"There is no cluster {name}; start it: python -m testbed up")
        return cls(folder, connection)

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def keeper(self) -> int:
        """The process that the cluster's lifetime is tied to."""
        keeper = self._folder.keeper
        if keeper is None:
            raise LookupError(f"Cluster {self.name} has ended.")
        return keeper

    @property
    def kubeconfig(self) -> Path:
        """For any client on the host, with all permissions."""
        return self._folder.kubeconfig

    @property
    def object_store(self) -> ObjectStore:
        """The store next to the cluster, as the host reaches it."""
        settings = store_settings(self._folder)
        return ObjectStore.of(
            settings,
            f"http://127.0.0.1:{self._connection.object_store_port}",
            self._namespaces.entering(*settings.shell),
        )

    @property
    def object_store_endpoint_for_pods(self) -> str:
        """The same store's URL for pods."""
        return store_settings(self._folder).endpoint

    def kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,
    ) -> str:
        """Runs kubectl and returns its output.

        Raises:
            RuntimeError: it failed; the message contains its own.
        """
        return run_kubectl(self.kubectl_command(), *arguments, input=input)

    def kubectl_command(self, *arguments: str | Path) -> list[str]:
        """The command line of a kubectl for this cluster."""
        return [str(self._kubectl), f"--kubeconfig={self.kubeconfig}", *map(str, arguments)]

    def load(self, tag: str) -> bool:
        """Makes a built image usable by pods; False if it already was.

        Raises:
            LookupError: it has not been built.
        """
        with step(f"Load {tag}"):
            return self._containerd.load(images.find(tag))

    def install(self, *manifests: Path) -> None:
        """Applies directories or files in this order; waits until their CRDs can be used."""
        for path in manifests:
            with step(f"Install {path}"):
                applied = self.kubectl(
                    *("apply", "--server-side", "--recursive", "--output=json"),
                    *("--filename", path),
                )
                for resource in _resources(applied):
                    self._wait_for(resource)

    def _wait_for(self, resource: dict[str, Any]) -> None:
        kind = resource["kind"].lower()
        metadata = resource["metadata"]
        name = f"{kind}/{metadata['name']}"
        if kind == "customresourcedefinition":
            # Without any conditions yet, `kubectl wait` gives up on one instead of waiting.
            for awaited in ("jsonpath={.status.conditions}", "condition=Established"):
                self.kubectl("wait", f"--for={awaited}", "--timeout=30s", name)
        elif kind in ("deployment", "statefulset", "daemonset"):
            namespace = f"--namespace={metadata['namespace']}"
            self.kubectl("rollout", "status", "--timeout=120s", namespace, name)

    def pretend_gpus(self, number: int, resource: str = "nvidia.com/gpu") -> None:
        """Makes the scheduler count this many GPUs on the node; pods that request one get none."""
        gpus = {resource: str(number)}
        # The kubelet would copy one to the other, within 10 s.
        status = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
        self.kubectl("patch", "node", NODE, "--subresource=status", "--patch", status)

    def forward(self, address: str, port: int) -> int:
        """Makes a pod, Service or node address reachable: returns the port on 127.0.0.1."""
        return forward(self._namespaces, address, port, log=self._folder.log("forwarder"))

    def run(self, *command: str | Path, stdin: str | None = None) -> str:
        """Runs a program of the host inside the node's network and returns its output."""
        return self._namespaces.run(*command, stdin=stdin)

    def command_inside(self, *command: str | Path) -> list[str]:
        """The command line that runs a program of the host inside the node's network."""
        return self._namespaces.entering(*command)

    def ended(self) -> list[str]:
        """The names of the components that should run but do not."""
        programs = self._namespaces.processes()
        return [
            name
            for name, component in self._components.items()
            if str(component.program) not in programs
        ]

    def kill_container(self, container: str) -> None:
        """Kills a pod's container with SIGKILL, named by the id in the pod's status without its
        scheme.
        """
        self._containerd.kill(container)

    @property
    def service_account_key(self) -> Path:
        """The private key that signs the cluster's service-account tokens."""
        return self._folder.pki / "service-accounts.key"

    def kill(self, component: str, *, gently: bool = False) -> None:
        """Ends a component, and waits until it has ended. It is not restarted."""
        signal_number = signal.SIGTERM if gently else signal.SIGKILL
        self._namespaces.kill(self._component(component).program, signal_number)

    def start(self, component: str) -> None:
        """Starts a component that was killed. It may need a moment until it serves."""
        start(self._folder, self._namespaces, self._component(component))

    def restart(self, component: str) -> None:
        """Ends a component gracefully and starts it again."""
        self.kill(component, gently=True)
        self.start(component)

    def _component(self, name: str) -> Component:
        if name not in self._components:
            raise LookupError(f"There is no component {name}, only {', '.join(self._components)}.")
        return self._components[name]

    def audit(self) -> list[dict[str, Any]]:
        """Every request that the API server has handled, as audit.k8s.io/v1 Events."""
        lines = self._folder.audit_log.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def logs(self, component: str, lines: int = 200) -> str:
        """The last log lines of a component."""
        self._component(component)
        return last_lines(self._folder, component, lines)

    def diagnose(self) -> str:
        """Information for debugging: pods, events, components and their logs."""
        parts = {
            "pods": self._ask("get", "pods", "--all-namespaces", "--output=wide"),
            "events": self._ask("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
            "components that have ended": " ".join(self.ended()) or "none",
            **{f"log of {name}": self.logs(name, _LAST_LINES) for name in self._components},
        }
        return "\n\n".join(f"== {title}\n{content.strip()}" for title, content in parts.items())

    def _ask(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments, "--request-timeout=5s")
        except RuntimeError as failure:
            return str(failure)

    def down(self) -> None:
        """Ends the cluster and removes it completely."""
        with step(f"Remove cluster {self.name}"):
            end(self._folder)


def run_kubectl(command: Sequence[str], *arguments: str | Path, input: str | None = None) -> str:
    """Runs the kubectl that this command starts, and returns its output.

    Raises:
        RuntimeError: it failed; the message contains its own.
    """
    words = [str(argument) for argument in arguments]
    done = subprocess.run([*command, *words], input=input, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def _resources(printed: str) -> list[dict[str, Any]]:
    """The objects in kubectl's JSON output: one object, or a list of them."""
    found: dict[str, Any] = json.loads(printed)
    if found["kind"] == "List":
        return list(found["items"])
    return [found]
