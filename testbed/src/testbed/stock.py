# SPDX-License-Identifier: Apache-2.0
"""Puts the data and Secrets of the examples into an object store, and a namespace."""

import json
from collections.abc import Mapping
from pathlib import Path

from testbed import base_model
from testbed.bucket import Bucket
from testbed.object_store import REGION, ObjectStore

MODELS, DATASETS = "models", "datasets"
SECRET = "object-store"


def fill(store: ObjectStore, configs: Path) -> None:
    """Creates the buckets of `configs/examples`; puts the model and `configs/datasets` there."""
    for name in (MODELS, DATASETS):
        store.make_bucket(name)
    Bucket.of(store, MODELS).upload(base_model.folder(), base_model.NAME)
    datasets = Bucket.of(store, DATASETS)
    for folder in sorted((configs / "datasets").iterdir()):
        datasets.upload(folder, folder.name)


def environment(store: ObjectStore, endpoint: str | None = None) -> dict[str, str]:
    """The environment for a client of this store, with this endpoint if it differs from the
    host's.
    """
    return {
        "AWS_ENDPOINT_URL": endpoint or store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_REGION": REGION,
    }


def secret(credentials: Mapping[str, str], namespace: str = "default") -> str:
    """The manifest of the examples' Secret."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": namespace},
            "stringData": dict(credentials),
        }
    )
