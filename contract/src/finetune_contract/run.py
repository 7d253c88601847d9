# SPDX-License-Identifier: Apache-2.0
"""The run document: from the operator to the trainer, for one attempt. No I/O here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_contract.codec import document_of, read_object
from finetune_contract.documents import InvalidDocument, parse_object, version_of

RUN_VERSION = 1
"""Raised when an older trainer could misread a newer document."""

RUN_ID_LENGTH = 10

MASTER_PORT = 29500
"""torch's customary rendezvous port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReference:
    """The FineTuneJob that a run belongs to."""

    namespace: str
    name: str
    uid: str
    """Empty without such an object: for a job file that is run without a cluster."""
    cluster: str | None = None
    """The id of its cluster, if the operator has it; None without a cluster."""
    take_over_from: str | None = None
    """The cluster whose job of the same name releases its output location to this one."""

    @property
    def is_in_cluster(self) -> bool:
        return bool(self.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The processes that train together, as promised by the operator."""

    nodes: int = 1
    processes_per_node: int = 1
    master_address: str = "127.0.0.1"
    """The address of rank 0; resolvable from every node."""
    master_port: int = MASTER_PORT
    gpus_per_node: int | None = None
    """The GPUs promised to each node, 0 for a job on CPUs; None in the documents of an older
    operator that did not record it.
    """
    gpu_resource: str = ""
    """The resource name by which they were requested: `nvidia.com/gpu`, `none` for resource
    claims.
    """

    @property
    def size(self) -> int:
        return self.nodes * self.processes_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt at a run."""

    job: JobReference
    run_id: str
    attempt: int
    """Counted from 1."""
    config: Mapping[str, Any]
    """The user's TRL SFT config, as written."""
    output_uri: str
    world: World = field(default_factory=World)
    adjustments: Mapping[str, Any] = field(default_factory=dict)
    """Config keys that this attempt sets differently from the user: a smaller micro-batch."""

    def to_json(self) -> str:
        # Without unknown values: the document is then the same as an older operator's.
        job = document_of(self.job, nulls=False)
        document = {"version": RUN_VERSION, **document_of(self), "job": job}
        return json.dumps(document, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Run":
        """
        Raises:
            InvalidDocument: a field is missing or mistyped, or the version is not ours.
        """
        document = parse_object(text, "run document")
        if (version := version_of(document)) != RUN_VERSION:
            raise InvalidDocument(
                f"run document has version {version}, this trainer reads version {RUN_VERSION}: "
                "operator and trainer image are from different releases"
            )
        return read_object(cls, document)


def run_id(config: Mapping[str, Any], run_token: str | None) -> str:
    """The id of the run that this config defines: ten hexadecimal digits.

    Equal configs have equal ids in any notation: key order does not matter, and neither does `1.0`
    against `1` (kubectl sends the latter for both). It names a directory of the job's own output
    and is part of existing paths; nothing is allowed or refused because of it.
    """
    return fingerprint([config, run_token or ""])[:RUN_ID_LENGTH]


def fingerprint(value: Any) -> str:
    """The sha256 of a JSON value, equal for all notations of it.

    Complete, because decisions depend on it: values whose hashes share a prefix can be found in
    seconds.
    """
    return digest(json.dumps(_canonical(value), sort_keys=True))


def digest(text: str | bytes) -> str:
    """The sha256 of a document's exact bytes, as hexadecimal digits."""
    written = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(written).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
