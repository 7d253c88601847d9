# SPDX-License-Identifier: Apache-2.0
"""Waits until the cluster can run a pod, with requests from a client on the host."""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.addresses import NODE
from testbed.certificates import ADMIN

_PAUSE_SECONDS = 0.1


class Api:
    """The few requests that are needed before kubectl can be used."""

    def __init__(self, port: int, pki: Path) -> None:
        self._port = port
        self._trust = ssl.create_default_context(cafile=pki / "ca.crt")
        self._trust.load_cert_chain(pki / f"{ADMIN}.crt", pki / f"{ADMIN}.key")

    def is_ready(self) -> bool:
        """Whether the API server serves."""
        return self._get("/readyz") is not None

    def has_ready_node(self) -> bool:
        """Whether a pod would be scheduled: the node is ready and has no taint."""
        node = self._get_object(f"/api/v1/nodes/{NODE}")
        if node is None or node["spec"].get("taints"):
            return False
        conditions = node.get("status", {}).get("conditions", [])
        return any(is_true(condition, "Ready") for condition in conditions)

    def has_service_account(self) -> bool:
        """Whether a pod would be admitted to the namespace "default"."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self._get_object(path) is not None

    def _get_object(self, path: str) -> dict[str, Any] | None:
        body = self._get(path)
        if body is None:
            return None
        found: dict[str, Any] = json.loads(body)
        return found

    def _get(self, path: str) -> bytes | None:
        """The body of a successful response; None for any other."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._port, context=self._trust, timeout=5
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if answer.status == 200 else None


def is_true(condition: dict[str, Any], kind: str) -> bool:
    """Whether this is a condition of that type, and true."""
    return bool(condition["type"] == kind and condition["status"] == "True")


def wait_until(
    is_so: Callable[[], bool], *, what: str, timeout_seconds: float, check: Callable[[], None]
) -> None:
    """Polls until the condition is met; `check` raises if waiting is pointless.

    Raises:
        TimeoutError: it is not met; the message names it.
    """
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not true after {timeout_seconds:.0f} s: {what}.")
        time.sleep(_PAUSE_SECONDS)
