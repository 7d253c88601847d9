# SPDX-License-Identifier: Apache-2.0
"""Only the pods of a job's current attempt may report progress.

The jobs here request a GPU that no node has, so their pods stay pending; the tokens are real,
issued by the API server for these pods.
"""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from cluster.api_access import server_of
from cluster.installation import NAMESPACE, Installation
from cluster.jobs import Jobs, a_job, until
from finetune_contract.mounts import progress_audience
from finetune_contract.progress import Progress

pytestmark = pytest.mark.cluster

BODY = Progress(attempt=1, step=7, total_steps=10, loss=1.25).to_body()


@pytest.fixture(scope="module")
def endpoint(installation: Installation) -> str:
    """The progress service, reachable from here."""
    if (url := installation.url_of("finetune-operator")) is None:
        pytest.skip("The progress service is reached directly in the tests' own cluster only.")
    return url


@pytest.fixture(scope="module")
def pending(jobs: Jobs) -> Iterator[dict[str, str]]:
    """Two jobs and the names of their pending pods."""
    pods = {}
    for name in ("reporting", "stranger"):
        job = a_job(name)
        job["spec"]["resources"] |= {"gpusPerNode": 1}
        jobs.apply(job)
        for _ in until(60):
            if found := jobs.pods(name):
                pods[name] = str(found[0]["metadata"]["name"])
                break
        # The operator must have seen the pod, too.
        jobs.wait_until(name, lambda s: s.get("phase") == "Starting", seconds=30, what="Starting")
    yield pods
    for name in pods:
        jobs.run("delete", "ftj", name, "--wait=false")


def audience(jobs: Jobs, name: str) -> str:
    return progress_audience(NAMESPACE, name, jobs.get(name)["metadata"]["uid"])


def token(jobs: Jobs, *, job: str, pod: str | None) -> str:
    """A token for this job's audience, bound to this pod, like the kubelet's."""
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}") if pod else ()
    return jobs.run(
        "create", "token", "default", f"--audience={audience(jobs, job)}", *bound
    ).strip()


def post(
    endpoint: str, credential: str | None, *, job: str = "reporting", body: bytes = BODY
) -> int:
    """The status code of the response to a report on this job."""
    group = "apis/finetune.dev/v1alpha1"
    request = urllib.request.Request(
        f"{endpoint}/{group}/namespaces/{NAMESPACE}/finetunejobs/{job}/progress",
        data=body,
        method="POST",
        headers={"Authorization": f"Bearer {credential}"} if credential else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def test_a_report_of_the_jobs_own_pod_is_accepted(
    jobs: Jobs, endpoint: str, pending: dict[str, str]
) -> None:
    own = token(jobs, job="reporting", pod=pending["reporting"])

    assert post(endpoint, own) == 200
    status = jobs.wait_for_step("reporting", 7, seconds=30)
    assert status["progress"]["loss"] == 1.25


def test_a_report_without_a_token_is_refused(endpoint: str, pending: dict[str, str]) -> None:
    assert post(endpoint, None) == 401


def test_a_forged_token_is_refused(jobs: Jobs, endpoint: str, pending: dict[str, str]) -> None:
    """The genuine claims, signed with a key that is not the cluster's."""
    genuine = token(jobs, job="reporting", pod=pending["reporting"])
    own_key = ec.generate_private_key(ec.SECP256R1())

    assert post(endpoint, signed(genuine, own_key, until=time.time() + 600)) == 401


def test_an_expired_token_is_refused(
    installation: Installation, jobs: Jobs, endpoint: str, pending: dict[str, str]
) -> None:
    """The genuine claims and the cluster's own key; only the time has expired.

    The API server issues no token for less than ten minutes, so this one is signed here.
    """
    assert installation.cluster is not None
    genuine = token(jobs, job="reporting", pod=pending["reporting"])
    pem = installation.cluster.service_account_key.read_bytes()
    cluster_key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(cluster_key, ec.EllipticCurvePrivateKey)

    # The signature's time is refused, and not the signature:
    assert post(endpoint, signed(genuine, cluster_key, until=time.time() + 600)) == 200
    assert post(endpoint, signed(genuine, cluster_key, until=time.time() - 60)) == 401


@pytest.mark.parametrize(
    ("job", "pod", "code"),
    [
        pytest.param("stranger", "stranger", 401, id="another job's token: wrong audience"),
        pytest.param("reporting", "stranger", 403, id="right audience, another job's pod"),
        pytest.param("reporting", None, 403, id="right audience, no pod at all"),
    ],
)
def test_a_foreign_token_is_refused(
    jobs: Jobs, endpoint: str, pending: dict[str, str], job: str, pod: str | None, code: int
) -> None:
    foreign = token(jobs, job=job, pod=pending[pod] if pod else None)

    assert post(endpoint, foreign) == code


def test_a_job_that_does_not_exist_is_not_found(
    jobs: Jobs, endpoint: str, pending: dict[str, str]
) -> None:
    own = token(jobs, job="reporting", pod=pending["reporting"])

    assert post(endpoint, own, job="nowhere") == 404


def test_a_bad_report_is_refused(jobs: Jobs, endpoint: str, pending: dict[str, str]) -> None:
    own = token(jobs, job="reporting", pod=pending["reporting"])

    assert post(endpoint, own, body=b"not json") == 400
    assert post(endpoint, own, body=b" " * 100_000) == 413


def test_a_pods_token_grants_access_to_progress_only(
    installation: Installation, jobs: Jobs, pending: dict[str, str]
) -> None:
    assert installation.cluster is not None
    own = token(jobs, job="reporting", pod=pending["reporting"])
    server, trust = server_of(installation.cluster.kubeconfig)

    for path in ("/api", "/apis", f"/api/v1/namespaces/{NAMESPACE}/pods"):
        asked = urllib.request.Request(server + path, headers={"Authorization": f"Bearer {own}"})
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(asked, context=trust, timeout=10)


def signed(genuine: str, key: ec.EllipticCurvePrivateKey, *, until: float) -> str:
    """The claims of a genuine token, valid up to this time and signed with this key (ES256)."""
    header, payload, _ = genuine.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims |= {"exp": int(until), "iat": int(until) - 3600, "nbf": int(until) - 3600}
    signing_input = f"{header}.{_encoded(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signing_input}.{_encoded(signature)}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
