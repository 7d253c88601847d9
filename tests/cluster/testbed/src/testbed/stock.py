# SPDX-License-Identifier: Apache-2.0
"""Puts into an object store what the examples name: the base model and the data sets."""

from pathlib import Path

from testbed import base_model
from testbed.bucket import Bucket
from testbed.object_store import ObjectStore

MODELS, DATASETS = "models", "datasets"


def fill(store: ObjectStore, configs: Path) -> None:
    """Make the buckets of `configs/examples` and put the model and `configs/datasets` there."""
    for name in (MODELS, DATASETS):
        store.make_bucket(name)
    Bucket.of(store, MODELS).upload(base_model.folder(), base_model.NAME)
    datasets = Bucket.of(store, DATASETS)
    for folder in sorted((configs / "datasets").iterdir()):
        datasets.upload(folder, folder.name)


def environment(store: ObjectStore) -> dict[str, str]:
    """What a client of this store needs; the keys of the examples' Secret."""
    return {
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_REGION": "us-east-1",
    }
