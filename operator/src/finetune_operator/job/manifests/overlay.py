# SPDX-License-Identifier: Apache-2.0
"""apply_overlay: merges a job's podTemplate into the pod that it needs. No I/O here.

Changes to the trainer's own fields were refused before (`finetune_spec.pods`). The trainer's fields
take precedence here again, and no field passes that a job may not set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_operator.objects.raw import Manifest

_PASSED_ON = (
    *("priorityClassName", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"),
    *("runtimeClassName", "schedulerName", "serviceAccountName", "imagePullSecrets"),
    *("hostAliases", "resourceClaims"),
)


def apply_overlay(template: Manifest, overlay: Mapping[str, Any]) -> Manifest:
    """The pod template with the labels, fields, volumes, variables and mounts of the overlay."""
    metadata, pod = overlay.get("metadata") or {}, overlay.get("spec") or {}
    spec: Manifest = template["spec"]
    own_users = {"hostUsers": False} if pod.get("hostUsers") is False else {}
    secrets = _joined(spec.get("imagePullSecrets", ()), pod.get("imagePullSecrets"), "name")
    (ours,) = spec["containers"]
    (theirs,) = pod.get("containers") or ({},)
    return {
        "metadata": _with_metadata(template["metadata"], metadata),
        "spec": {
            **{name: pod[name] for name in _PASSED_ON if pod.get(name)},
            **own_users,
            **spec,
            **({"imagePullSecrets": secrets} if secrets else {}),
            "containers": [_with_container(ours, theirs)],
            "volumes": _joined(spec["volumes"], pod.get("volumes"), "name"),
        },
    }


def variables_in(overlay: Mapping[str, Any]) -> frozenset[str]:
    """The names of the environment variables that the overlay sets."""
    containers = (overlay.get("spec") or {}).get("containers") or ()
    return frozenset(entry["name"] for it in containers for entry in it.get("env") or ())


def _with_metadata(ours: Manifest, theirs: Mapping[str, Any]) -> Manifest:
    merged = {
        section: {**(theirs.get(section) or {}), **ours.get(section, {})}
        for section in ("labels", "annotations")
    }
    return {section: entries for section, entries in merged.items() if entries}


def _with_container(ours: Manifest, theirs: Mapping[str, Any]) -> Manifest:
    container = {
        **ours,
        "env": _joined(ours["env"], theirs.get("env"), "name"),
        "volumeMounts": _joined(ours["volumeMounts"], theirs.get("volumeMounts"), "mountPath"),
    }
    if policy := theirs.get("imagePullPolicy"):
        container["imagePullPolicy"] = policy
    # Of two sources of a variable the last one counts: the job's credentials.
    if sources := [*(theirs.get("envFrom") or ()), *ours.get("envFrom", ())]:
        container["envFrom"] = sources
    return container


def _joined(
    ours: Sequence[Manifest], theirs: Sequence[Manifest] | None, key: str
) -> list[Manifest]:
    taken = {entry[key] for entry in ours}
    return [*ours, *(entry for entry in theirs or () if entry[key] not in taken)]
