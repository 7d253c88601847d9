# SPDX-License-Identifier: Apache-2.0
"""Which explicit way of signing the environment gives. No I/O here.

Left to itself, a cloud's library falls back to the node's metadata service: a pod would then act
with the node's rights, or hang where there is no such service. So one way must be named.
"""

from collections.abc import Mapping

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed

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
"""Each way is a set of variables; one whole set must be there."""

NO_METADATA_SERVICE = "http://127.0.0.1:1"
"""Nothing listens there: asking it fails at once instead of finding the node's own rights."""


def require_explicit_way(scheme: str, uri: str, environment: Mapping[str, str]) -> None:
    """
    Raises:
        AttemptFailed: the environment has none of the ways.
    """
    ways = EXPLICIT_WAYS[scheme]
    if any(all(environment.get(name) for name in way) for way in ways):
        return
    raise attempt_failed(
        Reason.CREDENTIALS_MISSING,
        f"{uri} needs credentials, and the environment has none",
        f"set {' and '.join(ways[0])} (in a cluster: a Secret with these keys, named by "
        "spec.output.credentialsSecretRef)",
    )
