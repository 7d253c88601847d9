# SPDX-License-Identifier: Apache-2.0
"""Single files through `https://` and `http://`. Their URLs may contain secrets: no message shows
one.

The parts after the path (a signature) and before the host (a password) are never shown.
"""

import base64
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import Request, urlopen

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage import transfer

TIMEOUT_SECONDS = 60
CHUNK_BYTES = 1024 * 1024
_PASSING = (408, 425, 429)
"""Temporary statuses below 500; all from 500 on may be temporary."""


def file_name(url: str) -> str:
    """The last part of the path, without the parts after it."""
    return unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]


def shown(url: str) -> str:
    """The URL without parts that may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(parts)}{parts.path}"


def download(url: str, target: Path, stop: StopRequest) -> None:
    """Writes the complete file at this URL to `target`, or nothing.

    Raises:
        AttemptFailed: it does not exist, may not be read, or is temporarily unavailable.
        Interrupted: a stop was requested.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".draft-{target.name}")
    try:
        transfer.ask(lambda: _download(url, draft, stop), shown(url), stop)
    except AttemptFailed as failed:
        if failed.failure.category is not Category.INFRASTRUCTURE:
            raise
        # The text is about an object store.
        cause = failed.failure.message.partition(": ")[2]
        raise attempt_failed(
            Reason.DATA_SERVER_UNREACHABLE,
            f"tried {transfer.TRIES} times: {cause}",
            "check that the server is up, or put the file into an object store",
        ) from None
    draft.replace(target)


def _download(url: str, target: Path, stop: StopRequest) -> None:
    """
    Raises:
        ConnectionError: a temporary error.
    """
    try:
        # Only URLs that `locations` recognizes as the web's arrive here: no file:, and no other
        # scheme.
        with (
            urlopen(_request(url), timeout=TIMEOUT_SECONDS) as answer,  # noqa: S310
            target.open("wb") as file,
        ):
            if answer.headers.get_content_type() == "text/html":
                raise _web_page(url)
            while chunk := answer.read(CHUNK_BYTES):
                stop.check()
                file.write(chunk)
            expected = answer.headers.get("Content-Length")
            if expected is not None and file.tell() != int(expected):
                raise ConnectionError(f"{shown(url)} was interrupted after {file.tell()} bytes")
    except HTTPError as error:
        raise _refusal(url, error.code) from None
    except (URLError, HTTPException, TimeoutError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # An error of the work directory, such as a full disk.
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(f"{shown(url)} cannot be read: {reason}") from None


def _request(url: str) -> Request:
    parts = urlsplit(url)
    request = Request(parts._replace(netloc=_host(parts)).geturl())  # noqa: S310 - as above
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(login.encode()).decode()
        # A redirect may lead to another server, which must not receive it.
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _refusal(url: str, status: int) -> Exception:
    if status >= 500 or status in _PASSING:
        return ConnectionError(f"{shown(url)} answered {status}")
    if status in (401, 403):
        return attempt_failed(
            Reason.DATASET_ACCESS_DENIED,
            f"{shown(url)} may not be read: the server answered {status}",
            "renew the signature or the login in the address, or put the file into an object store",
        )
    return attempt_failed(
        Reason.DATASET_NOT_FOUND,
        f"there is no dataset at {shown(url)}: the server answered {status}",
        "set the address at which the server has the file, or put the file into an object store",
    )


def _web_page(url: str) -> AttemptFailed:
    return attempt_failed(
        Reason.DATASET_NOT_FOUND,
        f"{shown(url)} is a web page, not a data file",
        "set the address from which the file itself is downloaded",
    )
