# SPDX-License-Identifier: Apache-2.0
"""The explicit authentication method in the environment, and whether its values can be sent. No I/O
here.

By default a cloud's library falls back to the node's metadata service: a pod would then act with
the node's permissions, or hang if there is no such service. So one method must be configured.
"""

from collections.abc import Mapping

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.storage.variables import problem_in

EXPLICIT_WAYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "s3": (
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        ("AWS_METADATA_ENDPOINT",),
        ("AWS_SKIP_SIGNATURE",),
    ),
    "gs": (
        ("GOOGLE_APPLICATION_CREDENTIALS",),
        ("GOOGLE_SERVICE_ACCOUNT",),
        ("GOOGLE_SERVICE_ACCOUNT_KEY",),
        ("GCE_METADATA_HOST",),
        ("GOOGLE_SKIP_SIGNATURE",),
    ),
    "az": (
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_KEY"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_SKIP_SIGNATURE"),
    ),
}
"""Each method is a set of variables; one complete set must be present."""

NO_METADATA_SERVICE = "http://127.0.0.1:1"
"""No server listens there: a request fails immediately instead of using the node's own
permissions.
"""

ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT",),
}
"""Variables for a store other than the cloud's own; the first that is set counts."""

DEFAULT_REGION = "us-east-1"
"""The client's own default."""


def endpoint_of(scheme: str, environment: Mapping[str, str]) -> str:
    """The store's address; empty for the cloud's own."""
    return next(filter(None, map(environment.get, ENDPOINTS[scheme])), "")


def region_of(environment: Mapping[str, str]) -> str:
    """The region that requests to S3 are signed for."""
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or DEFAULT_REGION


def require_explicit_way(scheme: str, uri: str, environment: Mapping[str, str]) -> None:
    """
    Raises:
        AttemptFailed: the environment has none of the methods, or a value that cannot be sent.
    """
    if problem := problem_in(scheme, environment):
        raise attempt_failed(
            Reason.INVALID_CREDENTIALS,
            f"{uri} cannot be accessed: {problem}",
            "write the value into the Secret again, without what the message names; kubectl create "
            "secret --from-literal adds no newline",
        )
    ways = EXPLICIT_WAYS[scheme]
    if any(all(environment.get(name) for name in way) for way in ways):
        return
    raise attempt_failed(
        Reason.CREDENTIALS_MISSING,
        f"{uri} needs credentials, but the environment has none",
        f"set {' and '.join(ways[0])} (in a cluster: a Secret with these keys, named by "
        "spec.output.credentialsSecretRef)",
    )
