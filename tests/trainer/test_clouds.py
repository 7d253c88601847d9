# SPDX-License-Identifier: Apache-2.0
"""Places in each cloud are opened with what the environment names; nothing is asked of them here.

What is done with an open place is shown with a real S3 (tests/storage).
"""

import pytest

from finetune_trainer.failures import AttemptFailed
from finetune_trainer.storage.cloud import open_cloud_store
from finetune_trainer.storage.credentials import EXPLICIT_WAYS

KEYS = {
    "s3": {"AWS_SKIP_SIGNATURE": "true"},
    "gs": {"GOOGLE_SKIP_SIGNATURE": "true"},
    "az": {"AZURE_STORAGE_ACCOUNT_NAME": "team", "AZURE_SKIP_SIGNATURE": "true"},
}


@pytest.mark.parametrize(
    ("scheme", "kind"), [("s3", "S3Store"), ("gs", "GCSStore"), ("az", "AzureStore")]
)
def test_a_place_is_opened_in_its_own_cloud(
    scheme: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS[scheme].items():
        monkeypatch.setenv(name, value)

    store = open_cloud_store(f"{scheme}://bucket/some/folder/", KEYS[scheme])

    assert type(store.bucket).__name__ == kind
    assert store.uri == f"{scheme}://bucket/some/folder"


@pytest.mark.parametrize("scheme", EXPLICIT_WAYS)
def test_a_place_without_credentials_is_told_with_the_variables_to_set(scheme: str) -> None:
    with pytest.raises(AttemptFailed) as caught:
        open_cloud_store(f"{scheme}://bucket/folder", {})

    failure = caught.value.failure
    assert failure.reason == "CredentialsMissing"
    for variable in EXPLICIT_WAYS[scheme][0]:
        assert variable in failure.remedy
