# SPDX-License-Identifier: Apache-2.0
"""Whether the values of a store's variables can be sent. No I/O here; no text shows a value.

Secrets are typed, piped and encoded by hand: `echo key | base64` adds a newline. The clients put
these values into headers and URLs without checks, and some end the process if that fails.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, MutableMapping
from urllib.parse import urlsplit

from finetune_trainer.failures.redaction import is_secret_name

_OF_STORES = re.compile(r"^(AWS|GOOGLE|GCE|AZURE|HF|HUGGING_FACE|WANDB|MLFLOW|COMET)_")

Check = Callable[[str], str]
"""The problem of a value, as the end of a sentence; empty without one."""


def trim(environment: MutableMapping[str, str]) -> list[str]:
    """Removes whitespace around the values of credentials and locations: it is never intended.

    Returns the names of the changed variables.
    """
    changed = [
        name
        for name, value in environment.items()
        if (_OF_STORES.match(name) or is_secret_name(name)) and value != _trimmed(value)
    ]
    for name in changed:
        environment[name] = _trimmed(environment[name])
    return sorted(changed)


def problem_in(scheme: str, environment: Mapping[str, str]) -> str:
    """The first variable of such stores whose value cannot be sent, and why; empty if none."""
    for name, check in _CHECKS[scheme].items():
        value = environment.get(name)
        if value and (problem := check(value)):
            return f"{name} {problem}"
    return ""


def _trimmed(value: str) -> str:
    return value.strip().strip("\ufeff\u200b\x00").strip()


def _word(value: str) -> str:
    """For a header or a URL: printable ASCII without spaces."""
    return _secret(value) or ("contains a space" if " " in value else "")


def _secret(value: str) -> str:
    """For values that are only used in computations: any single line."""
    if value != value.strip():
        return "has whitespace or a newline around its value"
    if value[:1] in "\"'" and value[-1:] == value[:1]:
        return "has quotation marks around its value"
    if "\n" in value or "\r" in value:
        return "contains a newline"
    if not value.isprintable():
        return "contains a control character"
    return "" if value.isascii() else "contains a character that is not ASCII"


def _address(value: str) -> str:
    if problem := _word(value):
        return problem
    try:
        parts = urlsplit(value)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return "is not an address: expected http://host:port or https://host"
    if parts.scheme not in ("http", "https"):
        return "is not an address: it begins with neither http:// nor https://"
    return "" if has_host else "is not an address: it names no host"


def _base64(value: str) -> str:
    if problem := _word(value):
        return problem
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return "is not the base64 text that Azure shows as an account's key"
    return ""


def _document(value: str) -> str:
    try:
        is_object = isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        is_object = False
    return "" if is_object else "is not the JSON text of a service account's key"


_CHECKS: Mapping[str, Mapping[str, Check]] = {
    "s3": {
        "AWS_ACCESS_KEY_ID": _word,
        "AWS_SECRET_ACCESS_KEY": _secret,
        "AWS_SESSION_TOKEN": _word,
        "AWS_REGION": _word,
        "AWS_DEFAULT_REGION": _word,
        "AWS_ENDPOINT_URL_S3": _address,
        "AWS_ENDPOINT_URL": _address,
        "AWS_ENDPOINT_URL_STS": _address,
        "AWS_METADATA_ENDPOINT": _address,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": _address,
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": _word,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": _word,
        "AWS_ROLE_ARN": _word,
        "AWS_WEB_IDENTITY_TOKEN_FILE": _secret,
    },
    "gs": {
        "GOOGLE_BASE_URL": _address,
        "GOOGLE_SERVICE_ACCOUNT_KEY": _document,
        "GOOGLE_APPLICATION_CREDENTIALS": _secret,
        "GOOGLE_SERVICE_ACCOUNT": _secret,
        "GCE_METADATA_HOST": _word,
    },
    "az": {
        "AZURE_STORAGE_ACCOUNT_NAME": _word,
        "AZURE_STORAGE_ACCOUNT_KEY": _base64,
        "AZURE_STORAGE_SAS_KEY": _word,
        "AZURE_STORAGE_ENDPOINT": _address,
        "AZURE_AUTHORITY_HOST": _address,
        "AZURE_CLIENT_ID": _word,
        "AZURE_CLIENT_SECRET": _secret,
        "AZURE_TENANT_ID": _word,
        "AZURE_FEDERATED_TOKEN_FILE": _secret,
    },
}
"""The variables that the client of each scheme reads."""
