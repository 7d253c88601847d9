# SPDX-License-Identifier: Apache-2.0
"""The writes of some accounts, by kind, from an audit log."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from typing import Any

_NOT_OF_JOBS = ("leases", "tokenreviews", "subjectaccessreviews")
_WRITES = ("create", "update", "patch", "delete", "deletecollection")


def writes_of(
    accounts: Container[str], audit: Iterable[Mapping[str, Any]], namespaces: Container[str]
) -> Counter[str]:
    """Those in these namespaces, such as "create jobs"; refused ones count as "refused"."""
    return Counter(
        _name(event)
        for event in audit
        if event["user"]["username"] in accounts
        and event["verb"] in _WRITES
        and event["objectRef"]["resource"] not in _NOT_OF_JOBS
        and event["objectRef"].get("namespace") in namespaces
    )


def _name(event: Mapping[str, Any]) -> str:
    if event["responseStatus"]["code"] >= 400:
        return "refused"
    target = event["objectRef"]
    resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
    return f"{event['verb']} {resource}"
