# SPDX-License-Identifier: Apache-2.0
"""A mutating webhook like that of a service mesh: it injects containers into the pods of some jobs.

As a program (`python injecting_webhook.py FOLDER PORT`) it serves the API server, inside the node's
network; as a module it starts that program and registers it.
"""

import base64
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

LABEL = "finetune.dev/job"
PORT = 29443
NAME = "injects-containers"

Containers = Mapping[str, Sequence[Mapping[str, Any]]]
"""By `containers` or `initContainers`: the injected containers."""


class _Handler(BaseHTTPRequestHandler):
    injected: Mapping[str, Containers]

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        pod = request["object"]
        job = pod["metadata"].get("labels", {}).get(LABEL, "")
        patch = list(_operations(pod["spec"], self.injected.get(job, {})))
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": True}
        if patch:
            encoded = base64.b64encode(json.dumps(patch).encode()).decode()
            answer |= {"patchType": "JSONPatch", "patch": encoded}
        body = json.dumps({**review, "request": None, "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _operations(spec: Mapping[str, Any], injected: Containers) -> Iterator[dict[str, Any]]:
    for field, containers in injected.items():
        if not spec.get(field):
            yield {"op": "add", "path": f"/spec/{field}", "value": []}
        for container in containers:
            yield {"op": "add", "path": f"/spec/{field}/-", "value": container}


def serve(folder: Path, port: int) -> None:
    _Handler.injected = json.loads((folder / "injected.json").read_text())
    server = HTTPServer(("127.0.0.1", port), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


@contextmanager
def injecting(cluster: Any, folder: Path, injected: Mapping[str, Containers]) -> Iterator[None]:
    """Injects these containers into new pods of these jobs; `cluster` is a separate one of the
    tests.
    """
    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    (folder / "injected.json").write_text(json.dumps(injected))
    command = cluster.command_inside(sys.executable, __file__, str(folder), str(PORT))
    server = subprocess.Popen(command)
    configuration = _configuration(authority.cert_pem.bytes(), list(injected))
    try:
        _wait_until_served(cluster, server)
        cluster.kubectl("apply", "-f", "-", input=json.dumps(configuration))
        yield
    finally:
        with suppress(RuntimeError):
            cluster.kubectl("delete", "mutatingwebhookconfiguration", NAME)
        server.kill()
        server.wait()


def _wait_until_served(cluster: Any, server: "subprocess.Popen[bytes]") -> None:
    """
    Raises:
        TimeoutError: it does not respond.
    """
    probe = f"import socket; socket.create_connection(('127.0.0.1', {PORT}), 1)"
    for _ in range(60):
        with suppress(RuntimeError, subprocess.CalledProcessError):
            cluster.run(sys.executable, "-c", probe)
            return
        if server.poll() is not None:
            raise TimeoutError(f"The webhook ended with exit code {server.returncode}.")
        time.sleep(0.5)
    raise TimeoutError("The webhook does not answer.")


def _configuration(authority: bytes, jobs: Sequence[str]) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    of_jobs = {"key": LABEL, "operator": "In", "values": list(jobs)}
    webhook = {
        "name": "inject.test.finetune.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 5,
        "objectSelector": {"matchExpressions": [of_jobs]},
        "rules": [{**rule, "resources": ["pods"]}],
        "clientConfig": {
            "url": f"https://127.0.0.1:{PORT}/",
            "caBundle": base64.b64encode(authority).decode(),
        },
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [webhook],
    }


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
