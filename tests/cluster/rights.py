# SPDX-License-Identifier: Apache-2.0
"""The operator's permissions from its Roles, and its requests from the API server's audit log."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.jobs import Kubectl

NAMESPACE = "finetune-system"
NAME = "finetune-operator"
ROLES = (
    ("clusterrole", NAME),
    ("clusterrole", f"{NAME}-webhook"),
    ("-n", NAMESPACE, "role", NAME),
)

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one kind of object."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}.{self.group}".rstrip(".")


def account_in(namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:{NAME}"


def granted(kubectl: Kubectl) -> set[Right]:
    """All permissions in the installed Roles."""
    rules = [
        rule for role in ROLES for rule in json.loads(kubectl("get", *role, "-o", "json"))["rules"]
    ]
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(audit: Iterable[Event], account: str) -> set[Right]:
    """The permissions that this account was allowed to use."""
    return {_right(event) for event in audit if _is_by(event, account, "allow")}


def refused(audit: Iterable[Event], account: str) -> Iterator[str]:
    """Requests of this account without permission, while its Roles existed.

    When a release is uninstalled they are deleted before the last replica has ended. Refusals by a
    quota or a terminating namespace are not about permissions.
    """
    is_bound = False
    for event in sorted(audit, key=lambda it: str(it["stageTimestamp"])):
        about = event.get("objectRef", {})
        if event["verb"] in ("create", "patch", "delete") and _is_binding(about):
            is_bound = event["verb"] != "delete"
        elif is_bound and _is_by(event, account, "forbid"):
            yield f"{event['verb']} {event['requestURI']}: {event['responseStatus'].get('message')}"


def _is_binding(about: Event) -> bool:
    is_role = about.get("resource") in ("rolebindings", "clusterrolebindings")
    return is_role and str(about.get("name")).startswith(NAME)


def _is_by(event: Event, account: str, decision: str) -> bool:
    """Whether this account sent the request, and the authorizer decided so."""
    told = event.get("annotations", {}).get("authorization.k8s.io/decision")
    # A request without authentication has a user without a name.
    return bool(event["user"].get("username") == account and told == decision)


def _right(event: Event) -> Right:
    about = event.get("objectRef", {})
    parts = (about.get("resource", event["requestURI"]), about.get("subresource"))
    return Right(about.get("apiGroup", ""), "/".join(filter(None, parts)), event["verb"])
