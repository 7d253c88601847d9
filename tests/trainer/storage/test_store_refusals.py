# SPDX-License-Identifier: Apache-2.0
"""Each refusal of a store gets its reason, category and remedy.

The stores are stubs on 127.0.0.1 (`store_stub`); the client is the real one.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage
from finetune_trainer.storage import cloud, transfer
from finetune_trainer.storage.cloud import CloudStore
from finetune_trainer.storage.store import StoreNotReady
from trainer.storage.store_stub import StoreStub, running_stub, xml


@pytest.fixture
def stub() -> Iterator[StoreStub]:
    with running_stub() as stub:
        yield stub


@pytest.fixture(autouse=True)
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would retry temporary errors for minutes."""
    monkeypatch.setattr(cloud, "RETRY", {"max_retries": 0, "retry_timeout": timedelta(seconds=240)})


ACTIONS: dict[str, Callable[[CloudStore], object]] = {
    "write": lambda store: store.write("x", b""),
    "create": lambda store: store.create("x", b""),
    "read": lambda store: store.read("x"),
    "size": lambda store: store.size("x"),
    "sizes": lambda store: store.sizes(),
    "names": lambda store: store.names(),
    "delete": lambda store: store.delete(["x"]),
}
_READING = ("read", "size", "sizes", "names")

REFUSALS: dict[str, tuple[str, int, str, Reason, Category]] = {
    "S3: an expired token, answered 400": (
        "s3", 400, xml("ExpiredToken", "The provided token has expired."),
        Reason.CREDENTIALS_EXPIRED, Category.USER),
    "S3: an expired token, answered 403": (
        "s3", 403, xml("ExpiredToken", "The provided token has expired."),
        Reason.CREDENTIALS_EXPIRED, Category.USER),
    "S3: a signature that is too old": (
        "s3", 403, xml("AccessDenied", "Request has expired"),
        Reason.CREDENTIALS_EXPIRED, Category.USER),
    "S3: a wrong key": (
        "s3", 403, xml("SignatureDoesNotMatch", "The signature we calculated does not match."),
        Reason.ACCESS_DENIED, Category.USER),
    "S3: a token that is none, answered 400": (
        "s3", 400, xml("InvalidToken", "The provided token is malformed."),
        Reason.ACCESS_DENIED, Category.USER),
    "S3: a proxy's refusal without words": ("s3", 403, "", Reason.ACCESS_DENIED, Category.USER),
    "S3: a node whose clock is wrong": (
        "s3", 403, xml("RequestTimeTooSkewed", "The difference is too large."),
        Reason.CLOCK_SKEWED, Category.INFRASTRUCTURE),
    "S3: no such bucket": (
        "s3", 404, xml("NoSuchBucket", "The specified bucket does not exist"),
        Reason.BUCKET_NOT_FOUND, Category.USER),
    "S3: a name that no bucket has": (
        "s3", 400, xml("InvalidBucketName", "The specified bucket is not valid."),
        Reason.INVALID_URI, Category.USER),
    "Ceph: a full bucket, answered 403": (
        "s3", 403, xml("QuotaExceeded", ""), Reason.STORE_FULL, Category.INFRASTRUCTURE),
    "MinIO: a full disk": (
        "s3", 507, xml("XMinioStorageFull", "Storage backend has reached its minimum free."),
        Reason.STORE_FULL, Category.INFRASTRUCTURE),
    "S3: an archived file": (
        "s3", 403, xml("InvalidObjectState", "The operation is not valid for its storage class"),
        Reason.STORE_REFUSED, Category.USER),
    "S3: a disabled key of the bucket": (
        "s3", 400, xml("KMS.DisabledException", "The KMS key is disabled."),
        Reason.STORE_REFUSED, Category.USER),
    "S3: a code that nobody has listed": (
        "s3", 400, xml("MoonInWrongPhase", "Come back at full moon."),
        Reason.STORE_REFUSED, Category.INFRASTRUCTURE),
    "GCS: no rights": (
        "gs", 403, xml("AccessDenied", "Access denied.", "<Details>no objects.get</Details>"),
        Reason.ACCESS_DENIED, Category.USER),
    "GCS: a bucket that asks its readers to pay": (
        "gs", 400, xml("UserProjectMissing", "Bucket is a requester pays bucket."),
        Reason.ACCESS_DENIED, Category.USER),
    "GCS: an expired token": (
        "gs", 401, xml("AuthenticationRequired", "Authentication required."),
        Reason.ACCESS_DENIED, Category.USER),
    "GCS: no such bucket": (
        "gs", 404, xml("NoSuchBucket", "The specified bucket does not exist."),
        Reason.BUCKET_NOT_FOUND, Category.USER),
    "Azure: a wrong key": (
        "az", 403, xml("AuthenticationFailed", "Server failed to authenticate the request."),
        Reason.ACCESS_DENIED, Category.USER),
    "Azure: a shared access signature that is over": (
        "az", 403,
        xml("AuthenticationFailed", "Server failed to authenticate the request.",
            "<AuthenticationErrorDetail>Signature not valid in the specified time frame"
            "</AuthenticationErrorDetail>"),
        Reason.CREDENTIALS_EXPIRED, Category.USER),
    "Azure: a role that is missing": (
        "az", 403, xml("AuthorizationPermissionMismatch", "This request is not authorized."),
        Reason.ACCESS_DENIED, Category.USER),
    "Azure: no such container": (
        "az", 404, xml("ContainerNotFound", "The specified container does not exist."),
        Reason.BUCKET_NOT_FOUND, Category.USER),
    "Azure: a container that is being deleted": (
        "az", 409, xml("ContainerBeingDeleted", "The specified container is being deleted."),
        Reason.BUCKET_NOT_FOUND, Category.USER),
    "Azure: a file under a legal hold": (
        "az", 409, xml("BlobImmutableDueToPolicy", "Blob is protected."),
        Reason.STORE_REFUSED, Category.USER),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_the_same_category_for_every_request(
    name: str, stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, status, body, reason, category = REFUSALS[name]
    store = stub.opened(scheme, monkeypatch)
    stub.refuse(status, body)

    for action in _READING if scheme == "gs" else ACTIONS:
        if action == "size" and status == 404:
            continue  # HEAD has no words: it is a file that is not there
        with pytest.raises(AttemptFailed) as caught:
            ACTIONS[action](store)

        failure = caught.value.failure
        assert (failure.reason, failure.category) == (reason, category), action
        assert failure.remedy
        assert "Debug" not in failure.message
        assert "long-secret" not in failure.message


PASSING = {
    "S3: too many requests": ("s3", 503, xml("SlowDown", "Please reduce your request rate.")),
    "S3: its own error": ("s3", 500, xml("InternalError", "We encountered an internal error.")),
    "S3: two that write at once": (
        "s3", 409, xml("ConditionalRequestConflict", "A conflicting operation occurred.")),
    "GCS: too many requests": ("gs", 429, '{"error": {"message": "rateLimitExceeded"}}'),
    "Azure: a busy server": ("az", 503, xml("ServerBusy", "The server is busy.")),
    "a load balancer without a store": ("s3", 502, "<html>Bad Gateway</html>"),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_a_busy_store_is_retried_and_finally_reported_as_busy(
    name: str, stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, status, body = PASSING[name]
    monkeypatch.setattr(transfer.time, "sleep", lambda seconds: None)
    store = stub.opened(scheme, monkeypatch)
    stub.refuse(status, body)
    tries: list[None] = []

    def read() -> object:
        tries.append(None)
        return store.read("x")

    with pytest.raises(StoreNotReady):
        read()
    with pytest.raises(AttemptFailed) as caught:
        transfer.retrying(read, "x")

    failure = caught.value.failure
    assert (failure.reason, failure.category) == (Reason.STORE_BUSY, Category.INFRASTRUCTURE)
    assert "3 times" in failure.message
    assert len(tries) == 1 + transfer.TRIES


def test_a_store_that_stays_busy_is_not_reported_as_unreachable(
    stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {
        "max_retries": 1,
        "retry_timeout": timedelta(seconds=5),
        "backoff": {
            "init_backoff": timedelta(seconds=0.01),
            "max_backoff": timedelta(seconds=0.01),
            "base": 2,
        },
    }
    monkeypatch.setattr(cloud, "RETRY", short)
    store = stub.opened("s3", monkeypatch)
    stub.refuse(503, xml("SlowDown", "Please reduce your request rate."))

    with pytest.raises(AttemptFailed, match="SlowDown: Please reduce") as caught:
        store.write("x", b"")

    assert caught.value.failure.reason == Reason.STORE_BUSY


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("answer", ["named in the body", "a redirect without words"])
def test_a_wrong_region_is_reported_with_the_right_one(
    answer: str, action: str, stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stub.opened("s3", monkeypatch)
    if answer == "named in the body":
        message = "the region 'us-east-1' is wrong; expecting 'eu-west-1'"
        stub.refuse(400, xml("AuthorizationHeaderMalformed", message))
    else:
        stub.refuse(301, xml("PermanentRedirect", "Use another"), x_amz_bucket_region="eu-west-1")

    with pytest.raises(AttemptFailed) as caught:
        ACTIONS[action](store)

    failure = caught.value.failure
    assert (failure.reason, failure.category) == (Reason.WRONG_REGION, Category.USER)
    assert "s3://models is in region eu-west-1, but the request was made for us-east-1" in str(
        failure.message
    )
    assert failure.remedy == "set AWS_REGION to eu-west-1 in the Secret"


def test_a_region_error_without_a_region_name_is_recognized_too(
    stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stub.opened("s3", monkeypatch)
    stub.refuse(301)

    with pytest.raises(AttemptFailed, match="in another region") as caught:
        store.read("x")

    assert caught.value.failure.reason == Reason.WRONG_REGION


def test_a_missing_file_is_not_a_refusal(stub: StoreStub, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stub.opened("s3", monkeypatch)
    stub.refuse(404, xml("NoSuchKey", "The specified key does not exist."))

    for action in ("read", "size"):
        with pytest.raises(FileNotFoundError, match="s3://models/balloon/x"):
            ACTIONS[action](store)


def test_an_existing_file_is_not_overwritten(
    stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme, status, body in (
        ("s3", 412, xml("PreconditionFailed", "A condition did not hold.")),
        ("az", 409, xml("BlobAlreadyExists", "The specified blob already exists.")),
    ):
        store = stub.opened(scheme, monkeypatch)
        stub.refuse(status, body)

        store.create("owner.json", b"{}")


def test_credentials_that_expire_during_training_are_read_again_by_the_next_pod() -> None:
    expired = AttemptFailed(
        Reason.CREDENTIALS_EXPIRED.failure("expired", "renew it", category=Category.USER)
    )

    assert classify(expired, Stage.FETCHING).category is Category.USER
    assert classify(expired, Stage.TRAINING).category is Category.INFRASTRUCTURE
    assert classify(expired, Stage.PUBLISHING).category is Category.INFRASTRUCTURE
