# SPDX-License-Identifier: Apache-2.0
"""Starts a cluster in empty namespaces until it can run a pod."""

from collections.abc import Callable, Iterable, Mapping

from testbed import images, object_store
from testbed.addresses import API_PORT, NODE_ADDRESS
from testbed.components import Component, store_settings
from testbed.configuration import write_host_kubeconfig
from testbed.containerd import Containerd
from testbed.folder import Connection, Folder
from testbed.forwarder import forward
from testbed.images import PAUSE_IMAGE
from testbed.namespaces import Namespaces
from testbed.narration import step
from testbed.readiness import Api, wait_until

_TIMEOUT_SECONDS = 120
_LAST_LINES = 15

_FIRST = ("etcd", "kube-apiserver", "containerd", "object-store")
"""They have no dependencies; the others would only wait for the API server, and slow it down."""


def bring_up(
    folder: Folder, namespaces: Namespaces, components: Mapping[str, Component]
) -> Connection:
    """Starts every component and waits for all of them.

    Raises:
        RuntimeError: one has ended; the message contains its last output.
        TimeoutError: one does not become ready.
    """
    forwarder_log = folder.log("forwarder")
    store = store_settings(folder)

    def wait_for(is_so: Callable[[], bool], what: str, names: Iterable[str]) -> None:
        wait_until(
            is_so,
            what=what,
            timeout_seconds=_TIMEOUT_SECONDS,
            check=lambda: fail_if_ended(folder, namespaces, [components[name] for name in names]),
        )

    with step("Start the control plane"):
        for name in _FIRST:
            start(folder, namespaces, components[name])
        api_port = forward(namespaces, NODE_ADDRESS, API_PORT, log=forwarder_log)
        store_port = forward(namespaces, NODE_ADDRESS, store.port("s3"), log=forwarder_log)
        write_host_kubeconfig(folder, api_port)
        api = Api(api_port, folder.pki)
        wait_for(api.is_ready, "the API server serves", _FIRST)
    with step("Start the node"):
        for name in components.keys() - _FIRST:
            start(folder, namespaces, components[name])
        containerd = Containerd(folder, namespaces)
        wait_for(lambda: containerd.is_ready, "containerd answers", components)
        containerd.load(images.find(PAUSE_IMAGE))
        object_store.wait_until_ready(f"http://127.0.0.1:{store_port}")
        wait_for(api.has_ready_node, "the node is ready", components)
        wait_for(api.has_service_account, "there is a default service account", components)
    connection = Connection(pid=namespaces.pid, object_store_port=store_port)
    folder.remember(connection)
    return connection


def start(folder: Folder, namespaces: Namespaces, component: Component) -> None:
    """Starts one component; its output is written to a log of its name."""
    namespaces.start(
        component.command,
        log=folder.log(component.name),
        environment=component.environment,
    )


def fail_if_ended(folder: Folder, namespaces: Namespaces, components: Iterable[Component]) -> None:
    """Raises if one of the components that should run does not.

    Raises:
        RuntimeError: with the component's last output.
    """
    running = namespaces.processes()
    for component in components:
        if str(component.program) not in running:
            raise RuntimeError(
                f"{component.name} has ended. Its last output was:\n"
                + last_lines(folder, component.name, _LAST_LINES)
            )


def last_words(folder: Folder, number: int = 5) -> str:
    """The end of every log, for a cluster that did not start and will be removed."""
    names = sorted(path.stem for path in folder.logs.glob("*.log"))
    said = [(name, last_lines(folder, name, number)) for name in names]
    return "\n".join(f"-- {name}\n{lines}" for name, lines in said if lines)


def last_lines(folder: Folder, name: str, number: int) -> str:
    """The end of a component's log."""
    return "\n".join(folder.log(name).read_text(errors="replace").splitlines()[-number:])
