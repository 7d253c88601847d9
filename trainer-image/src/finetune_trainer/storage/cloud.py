# SPDX-License-Identifier: Apache-2.0
"""`s3://`, `gs://` and `az://` through obstore; the only module that imports it.

Only its synchronous functions are used, in threads: after an asynchronous one the interpreter
sometimes aborts at exit, and a finished run would look like a crash.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.storage import locations
from finetune_trainer.storage.credentials import (
    NO_METADATA_SERVICE,
    endpoint_of,
    require_explicit_way,
)
from finetune_trainer.storage.explanation import Explanation, is_panic
from finetune_trainer.storage.refusals import refusal_of
from finetune_trainer.storage.store_answers import read_answer

CHUNK_BYTES = 8 * 1024 * 1024
CHUNKS_AT_ONCE = 4

# obstore's own defaults give up on a refused connection after 2.5 s; with these a store may be
# unreachable for half a minute.
RETRY: Any = {
    "max_retries": 1000,
    "retry_timeout": timedelta(seconds=240),
    "backoff": {
        "init_backoff": timedelta(seconds=0.5),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}


# For features that some stores lack: they report it with an error that looks temporary.
NO_RETRY: Any = {"max_retries": 0}


def open_cloud_store(uri: str, environment: Mapping[str, str]) -> "CloudStore":
    """The store at this URI.

    Raises:
        AttemptFailed: no credentials for it, or the URI names no bucket.
    """
    parts = urlsplit(uri)
    if not parts.netloc:
        raise attempt_failed(
            Reason.INVALID_URI, f"{uri} names no bucket", f"write {parts.scheme}://bucket/"
        )
    require_explicit_way(parts.scheme, uri, environment)
    client: Any = {
        "timeout": "120s",
        "connect_timeout": "5s",
        "allow_http": endpoint_of(parts.scheme, environment).startswith("http://"),
    }
    config: Any = _s3_config(environment) if parts.scheme == "s3" else {}
    bucket_uri = f"{parts.scheme}://{parts.netloc}"
    try:
        bucket, asked_once = (
            from_url(bucket_uri, config=config, client_options=client, retry_config=retry)
            for retry in (RETRY, NO_RETRY)
        )
    except BaseError as error:
        raise attempt_failed(
            Reason.INVALID_URI,
            f"{uri} cannot be opened: {read_answer(str(error)).words}",
            "check URI and environment",
        ) from None
    explanation = Explanation(bucket_uri, environment, RETRY["retry_timeout"].seconds)
    return CloudStore(bucket_uri, parts.path.strip("/"), bucket, asked_once, explanation)


def _s3_config(environment: Mapping[str, str]) -> Any:
    config = {}
    if endpoint := environment.get("AWS_ENDPOINT_URL_S3"):
        # The client does not read it, and would contact Amazon.
        config["endpoint"] = endpoint
    if "AWS_METADATA_ENDPOINT" not in environment:
        config["metadata_endpoint"] = NO_METADATA_SERVICE
    return config


@dataclass(frozen=True, slots=True)
class CloudStore:
    """Objects below one prefix of a bucket."""

    bucket_uri: str
    prefix: str
    bucket: Any
    """obstore's store of the complete bucket."""
    asked_once: Any
    """The same without retries."""
    explanation: Explanation
    """The explanation of its errors."""

    @property
    def uri(self) -> str:
        return locations.join(self.bucket_uri, self.prefix)

    def sizes(self, prefix: str = "") -> Mapping[str, int]:
        with self._explaining(prefix):
            return {
                self._relative(meta["path"]): meta["size"]
                for page in obstore.list(self.bucket, prefix=self._key(prefix) or None)
                for meta in page
            }

    def names(self) -> list[str]:
        with self._explaining(""):
            found = obstore.list_with_delimiter(self.bucket, prefix=self.prefix or None)
        paths = [*found["common_prefixes"], *(meta["path"] for meta in found["objects"])]
        return sorted(self._relative(path) for path in paths)

    def size(self, path: str) -> int:
        with self._explaining(path):
            try:
                return obstore.head(self.bucket, self._key(path))["size"]
            except BaseError as error:
                answer = read_answer(str(error))
                if answer.status is not None and not answer.was_retried:
                    # A response to HEAD has no body: the store sends its message only for a read.
                    obstore.get_range(self.asked_once, self._key(path), start=0, length=1)
                raise

    def read(self, path: str) -> bytes:
        with self._explaining(path):
            return bytes(obstore.get(self.bucket, self._key(path)).bytes())

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self._explaining(path):
            return bytes(
                obstore.get_range(self.bucket, self._key(path), start=start, length=length)
            )

    def write(self, path: str, body: bytes) -> None:
        with self._explaining(path, writing=True):
            obstore.put(self.bucket, self._key(path), body)

    def create(self, path: str, body: bytes) -> None:
        key = self._key(path)
        with self._explaining(path, writing=True):
            try:
                obstore.put(self.asked_once, key, body, mode="create")
            except AlreadyExistsError as error:
                if refusal_of(read_answer(str(error))) is not None:
                    raise  # Stores report a container that is being deleted with the same status.
                return
            except (NotImplementedError, BaseError) as error:
                if not _knows_no_conditions(error):
                    raise
                # Such a store cannot distinguish two concurrent writes.
                obstore.put(self.bucket, key, body)

    def upload(self, source: Path, path: str) -> None:
        with self._explaining(path, writing=True):
            obstore.put(
                self.bucket,
                self._key(path),
                source,
                chunk_size=CHUNK_BYTES,
                max_concurrency=CHUNKS_AT_ONCE,
            )

    def download(self, path: str, target: Path) -> str:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with self._explaining(path):
            stream = obstore.get(self.bucket, self._key(path)).stream(CHUNK_BYTES)
            with target.open("wb") as file:
                for chunk in stream:
                    digest.update(chunk)
                    file.write(chunk)
        return digest.hexdigest()

    def delete(self, paths: list[str]) -> None:
        with self._explaining("", writing=True):
            obstore.delete(self.bucket, [self._key(path) for path in paths])

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.prefix, path) if part)

    def _relative(self, key: str) -> str:
        return key.removeprefix(self.prefix).strip("/")

    @contextmanager
    def _explaining(self, path: str, *, writing: bool = False) -> Iterator[None]:
        """Explains permanent errors in a sentence; others pass unchanged."""
        try:
            yield
        except FileNotFoundError as error:
            place = locations.join(self.uri, path)
            if refusal_of(read_answer(str(error))) is not None:
                raise self.explanation.error_for(error, place) from None
            if writing:
                raise self.explanation.bucket_missing() from None
            raise FileNotFoundError(place) from None
        except BaseException as error:
            if not isinstance(error, BaseError) and not is_panic(error):
                raise
            raise self.explanation.error_for(error, locations.join(self.uri, path)) from None


def _knows_no_conditions(error: Exception) -> bool:
    """Whether the store does not support conditional writes."""
    return isinstance(error, NotImplementedError) or "501 Not Implemented" in str(error)
