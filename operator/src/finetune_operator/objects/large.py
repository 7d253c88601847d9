# SPDX-License-Identifier: Apache-2.0
"""Outlines of large objects: only the outline is cached, and the object is fetched when needed.

A parsed JSON text takes up to twenty times its size, and a replica caches every job: the cached
part of one is bounded whatever its text. Jobs written by hand are not large. No I/O here.
"""

import json
from collections.abc import Mapping
from typing import Any

from finetune_operator.objects.names import API_VERSION, GROUP, LABEL_MANAGED_BY
from finetune_operator.objects.packed import PackedBody, pack
from finetune_operator.objects.raw import Body

LARGE_BYTES = 32 * 1024
"""Objects with a larger text are large."""

MOST_STATUS_BYTES = 64 * 1024
"""The operator itself writes no larger status."""

OUTLINE = "isOutline"
"""The key that marks an outline."""

_MOST_NAMES = 64
_LONGEST_VALUE = 1024
_KNOWN_PREFIXES = (f"{GROUP}/", "batch.kubernetes.io/", "kueue.x-k8s.io/", LABEL_MANAGED_BY)
_METADATA = (
    "namespace",
    "name",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)


class LargeBody(dict[str, Any]):
    """A complete object, of which only the outline may be cached."""


def is_outline(body: Body) -> bool:
    """Whether the spec, and more, was left out: readers of the object must fetch it first."""
    return OUTLINE in body


def outline_of(body: Body) -> dict[str, Any]:
    """The object without the parts that are not read between two passes: as large as a small one.

    For children the plain fields of the spec remain, for jobs and schedules nothing of it.
    """
    kept = {name: body[name] for name in ("apiVersion", "kind") if name in body}
    kept |= {OUTLINE: True, "metadata": _metadata_of(body["metadata"])}
    if body.get("apiVersion") != API_VERSION:
        kept["spec"] = _plain_fields(body.get("spec") or {})
    if len(json.dumps(status := body.get("status", {}))) <= MOST_STATUS_BYTES:
        kept["status"] = status
    return kept


def as_kept(body: Body) -> Body:
    """The part of an object that is cached."""
    if is_outline(body) or isinstance(body, PackedBody):
        return body
    return outline_of(body) if isinstance(body, LargeBody) else pack(without_managed_fields(body))


def without_managed_fields(body: Body) -> dict[str, Any]:
    """They are half of an object's size, and no code here reads them."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": metadata}


def _metadata_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: metadata[name] for name in _METADATA if name in metadata}
    # The API server allows at most one controller per object.
    owners = [it for it in metadata.get("ownerReferences", ()) if it.get("controller")][:1]
    texts = {name: _known(metadata[name]) for name in ("labels", "annotations") if name in metadata}
    return {**kept, **texts, **({"ownerReferences": owners} if owners else {})}


def _known(texts: Mapping[str, str]) -> dict[str, str]:
    names = [name for name in texts if name.startswith(_KNOWN_PREFIXES)]
    return {it: texts[it] for it in names[:_MOST_NAMES] if len(texts[it]) <= _LONGEST_VALUE}


def _plain_fields(spec: Mapping[str, Any]) -> dict[str, Any]:
    """For a child: the number of pods a Job requires, whether it is suspended, why a pod waits."""
    plain = {name: value for name, value in spec.items() if not isinstance(value, dict | list)}
    return {**plain, **({"readinessGates": [{}]} if spec.get("readinessGates") else {})}
