# SPDX-License-Identifier: Apache-2.0
"""`owner.json`: the job that owns an output location, and its cluster. No I/O here.

A job is identified by cluster, namespace and name, and not by its uid: a job that was deleted and
applied again continues at its location. Documents of releases before 0.2 name no cluster.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_contract.documents import parse_object

TAKE_OVER = "finetune.dev/take-over-from"
"""Annotation of a FineTuneJob: the cluster whose job of the same name releases its output
location.
"""

CLUSTER_ID_FORM = (
    "the id of a cluster: up to 253 letters, digits and . _ - : /, beginning with a letter or digit"
)

_CLUSTER_ID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._:/]{0,252}")
"""Safe to paste into a shell and into YAML: messages quote contents of a bucket."""


def is_cluster_id(value: Any) -> bool:
    return isinstance(value, str) and _CLUSTER_ID.fullmatch(value) is not None


def take_over_of(annotations: Mapping[str, Any]) -> str | None:
    """The cluster that these annotations of a job name."""
    value = annotations.get(TAKE_OVER)
    return value if isinstance(value, str) and is_cluster_id(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A job as recorded at its output location."""

    namespace: Any
    name: Any
    """May have any type in an untrusted document: it is compared and shown."""
    cluster: Any = None
    """None for a job of an older release, and for a run outside any cluster."""

    @classmethod
    def from_json(cls, text: str | bytes, path: str) -> "Owner":
        """
        Raises:
            InvalidDocument: the text is not a JSON object.
        """
        document = parse_object(text, path)
        return cls(
            namespace=document.get("namespace"),
            name=document.get("name"),
            cluster=document.get("cluster") or None,
        )

    def to_json(self) -> str:
        known = {"cluster": self.cluster} if self.cluster else {}
        return json.dumps({"namespace": self.namespace, "name": self.name, **known})

    def is_namesake_of(self, other: "Owner") -> bool:
        return (self.namespace, self.name) == (other.namespace, other.name)
