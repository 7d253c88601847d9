# SPDX-License-Identifier: Apache-2.0
"""The object store of tests and demo: a real S3 with strict checks."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.exceptions import BaseError, GenericError
from obstore.store import S3Store

from testbed.object_store import REGION, ObjectStore

pytestmark = pytest.mark.storage


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with ObjectStore.start() as store:
        store.make_bucket("models")
        yield store


def a_client(store: ObjectStore, bucket: str, *, secret_key: str | None = None) -> S3Store:
    return S3Store(
        bucket,
        endpoint=store.endpoint,
        access_key_id=store.access_key,
        secret_access_key=secret_key or store.secret_key,
        region=REGION,
        client_options={"allow_http": True},
    )


def test_a_stored_object_is_read_back_unchanged(store: ObjectStore) -> None:
    client = a_client(store, "models")

    client.put("balloon/adapter", b"weights")

    assert bytes(client.get("balloon/adapter").bytes()) == b"weights"


def test_a_wrong_key_is_refused(store: ObjectStore) -> None:
    stranger = a_client(store, "models", secret_key="guessed")

    with pytest.raises(BaseError, match="SignatureDoesNotMatch"):
        stranger.put("balloon/adapter", b"weights")


def test_a_missing_bucket_is_not_created(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        a_client(store, "missing").put("balloon/adapter", b"weights")


def test_creating_an_existing_bucket_keeps_its_objects(store: ObjectStore) -> None:
    client = a_client(store, "models")
    client.put("kept", b"still here")

    store.make_bucket("models")

    assert bytes(client.get("kept").bytes()) == b"still here"


def test_two_stores_on_one_machine_are_independent(store: ObjectStore) -> None:
    with ObjectStore.start() as other:
        other.make_bucket("only-there")
        a_client(other, "only-there").put("key", b"value")

        with pytest.raises(FileNotFoundError):
            a_client(store, "only-there").get("key")


def read(client: S3Store, key: str, *, seconds: float) -> bytes:
    """A restarted server responds before it has found its volumes, with an internal error."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return bytes(client.get(key).bytes())
        except GenericError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_restarted_store_with_its_own_directory_has_its_objects(tmp_path: Path) -> None:
    with ObjectStore.start(tmp_path) as store:
        store.make_bucket("models")
        a_client(store, "models").put("key", b"value")

    with ObjectStore.start(tmp_path) as store:
        assert read(a_client(store, "models"), "key", seconds=60) == b"value"


def test_the_store_listens_on_127_0_0_1_only(store: ObjectStore) -> None:
    listening = subprocess.run(
        ["ss", "-ltnpH"], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    addresses = {line.split()[3].rpartition(":")[0] for line in listening if '"weed"' in line}
    assert addresses == {"127.0.0.1"}
