# SPDX-License-Identifier: Apache-2.0
"""The webhook of replicas that are processes of this machine: reached by address, without a
Service.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster.installation import REPOSITORY
from finetune_operator.webhook.server import PATH
from testbed.certificates import Identity, issue
from testbed.control_plane import ControlPlane
from testbed.ports import free_ports

_ADDRESS = "127.0.0.1"


def environments(folder: Path, number: int) -> list[Mapping[str, str]]:
    """The settings of each replica, for a certificate that is created in this directory."""
    issue(folder, (Identity(file="tls", user="finetune-operator", addresses=(_ADDRESS,)),))
    return [
        {"WEBHOOK_PORT": str(port), "WEBHOOK_CERTIFICATES": str(folder)}
        for port in free_ports(number)
    ]


@contextmanager
def reviewing(
    plane: ControlPlane, folder: Path, namespaces: list[str], ports: Sequence[str]
) -> Iterator[None]:
    """Both replicas review each job of these namespaces: the chart's webhook, once for each."""
    name = f"hostile-tenant-{namespaces[0]}"
    configuration = {**_chart_configuration(), "metadata": {"name": name}}
    (webhook,) = configuration["webhooks"]
    authority = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    selector = [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}]
    configuration["webhooks"] = [
        {
            **webhook,
            "name": f"replica-{index}.finetunejobs.finetune.dev",
            "namespaceSelector": {"matchExpressions": selector},
            "clientConfig": {"url": f"https://{_ADDRESS}:{port}{PATH}", "caBundle": authority},
        }
        for index, port in enumerate(ports)
    ]
    plane.kubectl("apply", "-f", "-", input=json.dumps(configuration))
    try:
        yield
    finally:
        plane.kubectl("delete", "validatingwebhookconfiguration", name)


def _chart_configuration() -> dict[str, Any]:
    documents = yaml.safe_load_all((REPOSITORY / "deploy" / "webhook.yaml").read_text())
    return next(it for it in documents if it["kind"] == "ValidatingWebhookConfiguration")
