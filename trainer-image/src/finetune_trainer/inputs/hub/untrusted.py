# SPDX-License-Identifier: Apache-2.0
"""Checks the metadata of a hub's files before it becomes a part of a path in the cache.

The hub's client builds paths from the identifiers of files and commits without a check: a mirror,
or anyone in between, could write any file that this pod may write.
"""

import re
from typing import Any

from huggingface_hub import constants, file_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from huggingface_hub.file_download import HfFileMetadata

from finetune_contract.limits import MAX_COUNT
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed

_COMMIT = constants.HUGGINGFACE_HEADER_X_REPO_COMMIT
_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.+=:]{0,199}")
"""An identifier of any hub: a digest, possibly with the number of its parts."""


def require_plain(kind: str, value: object) -> str:
    """The identifier, unchanged.

    Raises:
        AttemptFailed: it cannot be the name of a file.
    """
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    raise attempt_failed(
        Reason.HUB_REFUSED,
        f"the hub sent {value!r:.80} as {kind}, which is not an identifier",
        "check HF_ENDPOINT, and report it to those who run that hub",
    )


def checked(metadata: HfFileMetadata) -> HfFileMetadata:
    """The same metadata.

    Raises:
        AttemptFailed: an identifier or a size in it is none.
    """
    for kind, value in (("an ETag", metadata.etag), ("a commit", metadata.commit_hash)):
        if value is not None:
            require_plain(kind, value)
    if metadata.size is not None and not 0 <= metadata.size <= MAX_COUNT:
        raise attempt_failed(
            Reason.HUB_REFUSED,
            f"the hub sent {str(metadata.size)[:80]} as the size of a file",
            "check HF_ENDPOINT, and report it to those who run that hub",
        )
    return metadata


def check_all_answers() -> None:
    """From now on the client itself, which repeats the requests, gets checked responses only."""
    ask: Any = file_download.get_hf_file_metadata

    def ask_checked(*arguments: Any, **options: Any) -> HfFileMetadata:
        try:
            return checked(ask(*arguments, **options))
        except RemoteEntryNotFoundError as missing:
            # The client notes in the cache that this commit lacks the file.
            if (commit := missing.response.headers.get(_COMMIT)) is not None:
                require_plain("a commit", commit)
            raise

    file_download.get_hf_file_metadata = ask_checked
