# SPDX-License-Identifier: Apache-2.0
"""The environment of the tests: a cluster with the operator installed, and an object store.

Usually both are created for the tests. With KUBECONFIG and the variables of `GIVEN` set, an
existing cluster and store are used instead.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cluster.jobs import Kubectl, a_job, until
from testbed import helm, images, requirements, stock
from testbed.bucket import Bucket
from testbed.cluster import Cluster, run_kubectl
from testbed.narration import step
from testbed.object_store import ObjectStore

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts" / "finetune-operator"
RELEASE = ("finetune-operator", "--namespace", "finetune-system")
DEPLOYMENT = ("-n", "finetune-system", "deployment/finetune-operator")
NAMESPACE = f"team-{secrets.token_hex(3)}"
"""Different in every session: an existing cluster may still have an earlier one's."""


GIVEN = (
    "KUBECONFIG",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
"""The existing cluster must have the images of `testbed.images.OURS` under their tags, its pods
must reach the store under the same URL as this machine, and the store must have two empty buckets.
"""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A cluster with the operator, for tests."""

    kubectl: Kubectl
    helm: Kubectl
    store: ObjectStore
    store_for_pods: Mapping[str, str]
    """The Secret's keys, which pods need to reach the store."""
    cluster: Cluster | None
    """The tests' own cluster, whose parts can be broken; None for an existing one."""

    @property
    def models(self) -> Bucket:
        return Bucket.of(self.store, stock.MODELS)

    @contextmanager
    def without_operator(self) -> Iterator[None]:
        """Removes the installed operator, and restores it at the end."""
        replicas = self.kubectl("get", *DEPLOYMENT, "-o", "jsonpath={.spec.replicas}")
        self.kubectl("scale", *DEPLOYMENT, "--replicas=0")
        self._wait_for_no_replica()
        try:
            yield
        finally:
            self.kubectl("scale", *DEPLOYMENT, f"--replicas={replicas}")
            self.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=60s")

    def install_release(self, *options: str) -> None:
        """Installs the chart with these options, and waits until it serves."""
        self.kubectl("apply", "-f", str(REPOSITORY / "deploy" / "namespace.yaml"))
        # In an existing cluster, kubectl may have applied the CRDs.
        how = ("--install", "--take-ownership", "--wait", "--timeout=2m", "--reset-values")
        self.helm("upgrade", *RELEASE, str(CHART), *how, *options)

    def uninstall_release(self) -> None:
        self.helm("uninstall", *RELEASE, "--wait")
        self._wait_for_no_replica()

    def _wait_for_no_replica(self) -> None:
        self.kubectl(
            *("wait", "-n", "finetune-system", "--for=delete", "pod", "--timeout=60s"),
            *("--selector", "app.kubernetes.io/name=finetune-operator"),
        )

    def url_of(self, service: str) -> str | None:
        """The local URL of the first port of the operator's, or its page's, Service; None in an
        existing cluster.
        """
        if self.cluster is None:
            return None
        where = ("service", service, "-n", "finetune-system", "-o", "json")
        spec = json.loads(self.kubectl("get", *where))["spec"]
        port = self.cluster.forward(spec["clusterIP"], spec["ports"][0]["port"])
        return f"http://127.0.0.1:{port}"

    def make_namespace(self, name: str) -> None:
        """A namespace with strict settings of a platform team, and the store's credentials."""
        self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        self.kubectl("apply", "-f", "-", input=stock.secret(self.store_for_pods, name))


def describe() -> str:
    """Where the tests would run, and why."""
    missing = [name for name in GIVEN if not os.environ.get(name)]
    if not missing:
        return f"the cluster of KUBECONFIG={os.environ['KUBECONFIG']}"
    if "KUBECONFIG" not in missing:
        return f"one of their own; for that of KUBECONFIG, set {', '.join(missing)} too"
    return "one of their own"


def reasons_for_none() -> list[str]:
    """Why there can be no installation here; empty if there can."""
    return [] if _is_given() else requirements.missing()


@contextmanager
def install() -> Iterator[Installation]:
    """The installation for this environment."""
    with _given() if _is_given() else _own() as installation:
        with step("Install the chart"):
            installation.install_release()
        installation.make_namespace(NAMESPACE)
        stock.fill(installation.store, REPOSITORY / "configs")
        yield installation
        installation.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def wait_for_garbage_collector(kubectl: Kubectl) -> None:
    """It discovers a new kind of object within half a minute; until then it does not delete objects
    owned by a deleted one of that kind.

    Raises:
        TimeoutError: it does not discover the kind.
    """
    with step("Wait for the garbage collector"):
        _wait_for_garbage_collector(kubectl)


def _wait_for_garbage_collector(kubectl: Kubectl) -> None:
    owner = a_job("is-collected")
    owner["metadata"]["namespace"] = NAMESPACE
    owner["spec"]["suspend"] = True
    made = json.loads(kubectl("create", "-f", "-", "-o", "json", input=json.dumps(owner)))
    reference = {"apiVersion": made["apiVersion"], "kind": made["kind"]}
    reference |= {key: made["metadata"][key] for key in ("name", "uid")}
    metadata = owner["metadata"] | {"ownerReferences": [reference]}
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    kubectl("create", "-f", "-", input=json.dumps(owned))
    kubectl("delete", "finetunejob", "is-collected", "-n", NAMESPACE)
    look = ("get", "configmap", "is-collected", "-n", NAMESPACE, "--ignore-not-found", "-o", "name")
    for _ in until(120):
        if not kubectl(*look):
            return
    raise TimeoutError("After 120 s the garbage collector still knows of no FineTuneJobs.")


def _is_given() -> bool:
    return all(os.environ.get(name) for name in GIVEN)


@contextmanager
def _own() -> Iterator[Installation]:
    for image in images.OURS.values():
        images.build(image)
    with Cluster.up() as cluster:
        for image in images.OURS.values():
            cluster.load(image.tag)
        yield Installation(
            kubectl=cluster.kubectl,
            helm=partial(helm.run, kubeconfig=cluster.kubeconfig),
            store=cluster.object_store,
            store_for_pods=stock.environment(
                cluster.object_store, cluster.object_store_endpoint_for_pods
            ),
            cluster=cluster,
        )


@contextmanager
def _given() -> Iterator[Installation]:
    store = ObjectStore.given(
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    yield Installation(
        kubectl=partial(run_kubectl, ["kubectl"]),
        helm=helm.run,
        store=store,
        store_for_pods=stock.environment(store),
        cluster=None,
    )
