# SPDX-License-Identifier: Apache-2.0
"""`kubectl apply` itself reports errors; and the behaviour without the webhook."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from cryptography import x509

from cluster.installation import DEPLOYMENT, REPOSITORY, Installation
from cluster.jobs import Jobs, Resource, a_job, unreviewed, until

pytestmark = pytest.mark.cluster

CONFIGURATION = ("validatingwebhookconfiguration", "finetune-operator")
MANIFEST = REPOSITORY / "deploy" / "webhook.yaml"
OPERATOR = "system:serviceaccount:finetune-system:finetune-operator"

TYPO = "spec.config.learning_rte: not a key of TRL's SFT config, did you mean learning_rate?"
SENTENCES = (
    TYPO,
    "spec.config.output_dir: is set by the operator: set spec.output.uri instead",
    "spec.config.fp16: found true together with bf16: true, expected only one of them",
)

NOT_YET_OBSERVED = {"observedGeneration": -1}
"""The status that the API server gives every new job."""


def a_wrong_job(name: str) -> Resource:
    """Three errors, none of them about a type."""
    return a_job(name, learning_rte=1e-4, output_dir="/tmp/x", fp16=True, bf16=True)


def a_job_that_cannot_start(name: str, **config: object) -> Resource:
    """For a GPU that no node has: nothing is trained."""
    job = a_job(name, **config)
    job["spec"]["resources"]["gpusPerNode"] = 1
    return job


@pytest.fixture(autouse=True)
def webhook(installation: Installation, jobs: Jobs) -> None:
    """Jobs are reviewed."""
    wait_until_reviewed(jobs)


def wait_until_reviewed(jobs: Jobs) -> None:
    for _ in until(60):
        if is_refused(jobs):
            return
    raise AssertionError("a wrong job is still not refused")


def is_refused(jobs: Jobs) -> bool:
    try:
        jobs.run("apply", "--dry-run=server", "-f", "-", input=json.dumps(a_wrong_job("asked")))
    except RuntimeError as refusal:
        return TYPO in str(refusal)
    return False


def bundle(installation: Installation) -> bytes:
    found = installation.kubectl(
        "get", *CONFIGURATION, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}"
    )
    return base64.b64decode(found)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("apply",), id="apply"),
        pytest.param(("apply", "--server-side"), id="apply on the server"),
        pytest.param(("apply", "--dry-run=server"), id="dry run"),
        pytest.param(("create",), id="create"),
    ],
)
def test_all_errors_are_reported_at_once_and_nothing_is_stored(
    jobs: Jobs, how: tuple[str, ...]
) -> None:
    job = a_wrong_job("three-mistakes")

    with pytest.raises(RuntimeError) as refusal:
        jobs.run(*how, "-f", "-", input=json.dumps(job))

    said = str(refusal.value)
    assert [sentence for sentence in SENTENCES if f"* {sentence}" not in said] == []
    assert 'The FineTuneJob "three-mistakes" is invalid' in said
    with pytest.raises(RuntimeError, match="not found"):
        jobs.get("three-mistakes")


def test_each_invalid_job_of_a_file_gets_its_errors_line_by_line(jobs: Jobs) -> None:
    both = "\n---\n".join(json.dumps(a_wrong_job(name)) for name in ("wrong", "wrong-too"))

    with pytest.raises(RuntimeError) as refusal:
        jobs.run("apply", "-f", "-", input=both)

    lines = str(refusal.value).splitlines()
    for sentence in SENTENCES:
        assert sum(line.startswith(f"* {sentence}") for line in lines) == 2


def test_a_dry_run_of_a_valid_job_succeeds_and_stores_nothing(jobs: Jobs) -> None:
    job = a_job("only-asked")

    said = jobs.run("apply", "--dry-run=server", "-f", "-", input=json.dumps(job))

    assert "only-asked created (server dry run)" in said
    with pytest.raises(RuntimeError, match="not found"):
        jobs.get("only-asked")


def test_a_warning_is_shown_by_kubectl_and_recorded_in_the_status(jobs: Jobs) -> None:
    job = a_job_that_cannot_start("warned", torch_dtype="bfloat16")

    with pytest.raises(RuntimeError, match=r"Warning: spec\.config\.torch_dtype: .+dtype"):
        jobs.run("apply", "--warnings-as-errors", "-f", "-", input=json.dumps(job))
    # The job is stored anyway: kubectl has printed the warnings afterwards.
    jobs.wait_until("warned", lambda s: s.get("runId"), seconds=30, what="acceptance")

    accepted = jobs.condition("warned", "Accepted")
    assert accepted["status"] == "True"
    assert "warning: spec.config.torch_dtype: " in accepted["message"]
    jobs.run("delete", "ftj", "warned", "--wait=false")


def test_a_null_dropped_by_kubectl_is_reported_and_kept_by_server_side_apply(
    jobs: Jobs,
) -> None:
    job = a_job("null")
    job["spec"]["config"]["max_length"] = None
    dry_run = ("apply", "--dry-run=server", "--warnings-as-errors", "-o", "json", "-f", "-")

    with pytest.raises(RuntimeError, match="max_length: kubectl apply removed this null"):
        jobs.run(*dry_run, input=json.dumps(job))
    applied = json.loads(jobs.run(*dry_run, "--server-side", input=json.dumps(job)))

    assert applied["spec"]["config"]["max_length"] is None


def test_a_stored_invalid_job_can_be_labelled_and_corrected_but_not_made_worse(
    jobs: Jobs,
) -> None:
    job = a_job_that_cannot_start("exempt", learning_rte=1e-4)
    jobs.apply(unreviewed(job))

    jobs.run("label", "ftj", "exempt", "finetune.dev/admission-")
    with pytest.raises(RuntimeError) as refusal:
        jobs.apply({**job, "spec": {**job["spec"], "config": a_wrong_job("")["spec"]["config"]}})
    jobs.apply(a_job_that_cannot_start("exempt"))

    assert all(sentence in str(refusal.value) for sentence in SENTENCES)
    jobs.wait_until("exempt", lambda s: s.get("runId"), seconds=30, what="acceptance")
    jobs.run("delete", "ftj", "exempt", "--wait=false")


def test_an_invalid_job_stored_without_an_operator_gets_the_same_errors_later(
    installation: Installation, jobs: Jobs
) -> None:
    with installation.without_operator():
        name = jobs.apply(a_wrong_job("applied-meanwhile"))
        assert jobs.status(name) == NOT_YET_OBSERVED

    jobs.wait_until(name, lambda s: s.get("conditions"), seconds=60, what="a verdict")

    accepted = jobs.condition(name, "Accepted")
    assert accepted["status"] == "False"
    assert [sentence for sentence in SENTENCES if sentence not in accepted["message"]] == []
    assert jobs.pods(name) == []
    wait_until_reviewed(jobs)
    jobs.run("delete", "ftj", name, "--wait=false")


def test_an_emptied_ca_bundle_is_filled_again(installation: Installation, jobs: Jobs) -> None:
    patch = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]

    installation.kubectl("patch", *CONFIGURATION, "--type=json", "-p", json.dumps(patch))

    wait_until_reviewed(jobs)
    assert bundle(installation)


@pytest.mark.parametrize("options", [("--server-side",), ()], ids=["server-side", "client-side"])
def test_applying_the_manifest_again_keeps_the_ca_bundle(
    installation: Installation, jobs: Jobs, options: tuple[str, ...]
) -> None:
    before = trusted(installation)

    # Twice, because the first pass may only note the applied object.
    for _ in range(2):
        installation.kubectl("apply", *options, "-f", str(MANIFEST))

    # A replica may have added its own meanwhile.
    assert before <= trusted(installation)


def test_no_invalid_job_is_admitted_while_certificates_rotate(
    installation: Installation, jobs: Jobs
) -> None:
    with certificates_valid_for(installation, seconds=16):
        wait_until_reviewed(jobs)
        seen: set[x509.Certificate] = set()
        asked = refused = 0
        for _ in until(120):
            asked += 1
            refused += is_refused(jobs)
            seen |= set(x509.load_pem_x509_certificates(bundle(installation)))
            # Two for each of both replicas, in addition to those of deleted pods.
            if len(short_lived(seen)) >= 6:
                break

    assert len(short_lived(seen)) >= 6
    assert refused == asked > 1


@contextmanager
def certificates_valid_for(installation: Installation, *, seconds: int) -> Iterator[None]:
    variable = "WEBHOOK_CERTIFICATE_SECONDS"
    installation.kubectl("set", "env", *DEPLOYMENT, f"{variable}={seconds}")
    installation.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=60s")
    try:
        yield
    finally:
        installation.kubectl("set", "env", *DEPLOYMENT, f"{variable}-")
        installation.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=60s")


def trusted(installation: Installation) -> set[x509.Certificate]:
    """The certificates of the bundle that do not expire soon."""
    found = set(x509.load_pem_x509_certificates(bundle(installation)))
    return found - set(short_lived(found))


def short_lived(certificates: set[x509.Certificate]) -> list[x509.Certificate]:
    """Those with another validity than the usual day."""
    return [
        certificate
        for certificate in certificates
        if (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 0
    ]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(("get", "secrets"), id="Secrets"),
        pytest.param(("update", "validatingwebhookconfigurations/another"), id="other webhooks"),
        pytest.param(("create", "validatingwebhookconfigurations"), id="new webhooks"),
        pytest.param(("delete", "validatingwebhookconfigurations"), id="no webhook"),
    ],
)
def test_the_operator_may_update_nothing_but_its_own_ca_bundle(
    installation: Installation, what: tuple[str, str]
) -> None:
    ask = partial(installation.kubectl, "auth", "can-i", f"--as={OPERATOR}", "--all-namespaces")

    assert ask("update", "validatingwebhookconfigurations/finetune-operator").strip() == "yes"
    with pytest.raises(RuntimeError):
        ask(*what)
