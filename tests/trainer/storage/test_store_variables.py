# SPDX-License-Identifier: Apache-2.0
"""The values of a Secret may be slightly wrong. The store is a stub on 127.0.0.1 (`store_stub`)."""

from collections.abc import Iterator

import pytest

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.storage import credentials, variables
from finetune_trainer.storage.cloud import open_cloud_store
from trainer.storage.store_stub import StoreStub, running_stub


@pytest.fixture
def stub() -> Iterator[StoreStub]:
    with running_stub() as stub:
        yield stub


VARIABLES = [
    *(("s3", it) for it in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    *(("s3", it) for it in ("AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")),
    *(("az", it) for it in ("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_NAME")),
    ("az", "AZURE_STORAGE_ACCOUNT_KEY"),
    ("gs", "GOOGLE_BASE_URL"),
]


def with_value(stub: StoreStub, scheme: str, name: str, template: str) -> dict[str, str]:
    """The stub's variables with another notation of this one."""
    environment = stub.environment(scheme)
    if name == "AWS_ENDPOINT_URL_S3":
        environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    value = environment.get(name, stub.address if "ENDPOINT" in name else "token")
    return {**environment, name: template.format(value)}


@pytest.mark.parametrize(("scheme", "name"), VARIABLES)
@pytest.mark.parametrize("template", ["{}\n", "{}\r\n", " {}", "\t{} \n", "\ufeff{}"])
def test_whitespace_around_a_value_is_ignored(
    template: str, scheme: str, name: str, stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = with_value(stub, scheme, name, template)

    assert variables.trim(environment) == [name]
    for each, value in environment.items():
        monkeypatch.setenv(each, value)
    open_cloud_store(f"{scheme}://models/balloon", environment).read("x")

    assert stub.asked == ["GET /models/balloon%2Fx" if scheme == "gs" else "GET /models/balloon/x"]


@pytest.mark.parametrize(("scheme", "name"), VARIABLES)
@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{}\n", "newline"),
        ("a\n{}", "newline"),
        ('"{}"', "quotation marks"),
        ("{}\x07", "control character"),
        ("{}\xe4", "not ASCII"),
    ],
)
def test_a_value_that_cannot_be_sent_is_refused_with_its_variable_and_never_shown(
    template: str, what: str, scheme: str, name: str, stub: StoreStub
) -> None:
    environment = with_value(stub, scheme, name, template)

    with pytest.raises(AttemptFailed) as caught:
        open_cloud_store(f"{scheme}://models/balloon", environment)

    failure = caught.value.failure
    assert failure.reason == Reason.INVALID_CREDENTIALS
    assert f"{name} " in failure.message
    assert what in failure.message
    assert "long-secret" not in failure.message
    assert "bG9uZy1zZWNyZXQ" not in failure.message
    assert stub.asked == []


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000", "neither http:// nor https://"),
        ("AWS_ENDPOINT_URL", "minio.storage", "neither http:// nor https://"),
        ("AWS_ENDPOINT_URL", "http://", "no host"),
        ("AWS_ENDPOINT_URL", "http://minio:port", "not an address"),
        ("AWS_REGION", "us east 1", "a space"),
    ],
)
def test_an_invalid_region_or_endpoint_is_refused_before_any_request(
    name: str, value: str, what: str, stub: StoreStub
) -> None:
    environment = {**stub.environment("s3"), name: value}

    with pytest.raises(AttemptFailed, match=what) as caught:
        open_cloud_store("s3://models/balloon", environment)

    assert caught.value.failure.message.startswith("s3://models/balloon cannot be accessed")


@pytest.mark.parametrize(
    ("scheme", "name", "value"),
    [
        ("az", "AZURE_STORAGE_ACCOUNT_KEY", "%%%"),
        ("gs", "GOOGLE_SERVICE_ACCOUNT_KEY", "/path/of/a/key.json"),
        ("gs", "GOOGLE_SERVICE_ACCOUNT_KEY", "[" * 5000),
    ],
)
def test_a_key_of_the_wrong_kind_is_refused(scheme: str, name: str, value: str) -> None:
    environment = {"AZURE_STORAGE_ACCOUNT_NAME": "research", name: value}

    with pytest.raises(AttemptFailed, match=name):
        open_cloud_store(f"{scheme}://models/balloon", environment)


def test_a_service_account_key_may_have_several_lines() -> None:
    environment = {"GOOGLE_SERVICE_ACCOUNT_KEY": '{\n  "type": "service_account"\n}\n'}

    assert variables.problem_in("gs", environment) == ""


def test_only_credentials_lose_their_whitespace() -> None:
    environment = {"PROMPT_SUFFIX": "answer:\n", "HF_TOKEN": "hf_x\n", "MY_PASSWORD": " a "}

    assert variables.trim(environment) == ["HF_TOKEN", "MY_PASSWORD"]
    assert environment == {"PROMPT_SUFFIX": "answer:\n", "HF_TOKEN": "hf_x", "MY_PASSWORD": "a"}


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"])
def test_a_panic_of_the_client_is_reported_in_one_sentence(
    name: str, stub: StoreStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a value had passed the checks: the panic is the real client's."""
    monkeypatch.setattr(credentials, "problem_in", lambda scheme, environment: "")
    value = stub.environment("s3")[name]
    store = stub.opened("s3", monkeypatch, **{name: f"{value}\n"})

    for action in (lambda: store.write("x", b""), lambda: store.read("x"), store.sizes):
        with pytest.raises(AttemptFailed, match="cannot be sent") as caught:
            action()

        assert caught.value.failure.reason == Reason.INVALID_CREDENTIALS
