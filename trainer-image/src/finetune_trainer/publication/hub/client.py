# SPDX-License-Identifier: Apache-2.0
"""The requests to the hub that pushing needs; temporary errors are retried.

`huggingface_hub` is imported late: most runs need no hub.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, Interrupted, attempt_failed
from finetune_trainer.failures.stopping import POLL_SECONDS, StopRequest
from finetune_trainer.publication.hub.destination import Destination

log = logging.getLogger(__name__)

PAUSES = (2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds between tries: two minutes of an outage are survived."""

ASKING_SECONDS = 20.0
"""The time limit of a check before training: an unreachable hub is not the user's error."""

MAY_PASS = (408, 429)
"""Temporary statuses below 500. The hub would repeat any other refusal."""

_SECRET = "the Secret of spec.output.credentialsSecretRef"

Result = TypeVar("Result")


class HubClient:
    """A destination, and its hub."""

    def __init__(self, destination: Destination, stop: StopRequest) -> None:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.utils import disable_progress_bars

        # A progress bar would be one line per redraw in a pod's log.
        disable_progress_bars()
        self._destination = destination
        self._stop = stop
        token = destination.token or _read_token(destination.token_file) or get_token()
        if token is None:
            raise attempt_failed(
                Reason.HUB_TOKEN_MISSING,
                "push_to_hub: found true without a token for the hub",
                f"put HF_TOKEN into {_SECRET}, or log in with `hf auth login` on a laptop",
            )
        self._api = HfApi(endpoint=destination.endpoint, token=token)

    @property
    def destination(self) -> Destination:
        return self._destination

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_requested

    def prepare(self) -> None:
        """Checks before training that the repository exists and is writable.

        Raises:
            AttemptFailed: the hub refuses the token, or the repository.
        """
        try:
            _require_writing(self._asked(self._api.whoami))
            repository = self._asked(self._make_repository)
        except AttemptFailed as error:
            if error.failure.reason != Reason.HUB_UNREACHABLE:
                raise
            log.warning("hub not reached, continuing without its answer error=%s", error)
            return
        self._destination = replace(self._destination, repository=repository)

    def push(
        self, folder: Path, message: str, *, below: str = "", without: Sequence[str] = ()
    ) -> str:
        """Uploads a directory as one commit and returns its id. Pushing the same again is harmless.

        Raises:
            AttemptFailed: the hub refuses it, or was unreachable in all tries.
            Interrupted: a stop was requested.
        """
        return self._retrying(lambda: self._upload(folder, message, below, without))

    def _upload(self, folder: Path, message: str, below: str, without: Sequence[str]) -> str:
        repository = self._make_repository()
        commit = self._api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            path_in_repo=below,
            commit_message=message,
            revision=self._destination.revision,
            ignore_patterns=list(without),
        )
        return str(commit.oid)

    def _make_repository(self) -> str:
        """The repository with its owner's name; an existing one is not changed."""
        wanted = self._destination
        made = self._api.create_repo(wanted.repository, private=wanted.is_private, exist_ok=True)
        if wanted.revision is not None:
            self._api.create_branch(made.repo_id, branch=wanted.revision, exist_ok=True)
        return str(made.repo_id)

    def _asked(self, request: Callable[[], Result]) -> Result:
        """One request with a short time limit."""
        try:
            return self._done(request, ASKING_SECONDS)
        except Interrupted:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def _retrying(self, request: Callable[[], Result]) -> Result:
        for tried, pause in enumerate((*PAUSES, None), start=1):
            self._stop.check()
            try:
                return self._done(request)
            except Interrupted:
                raise
            except Exception as error:
                failure = self._failure(error)
                if pause is None or failure.failure.reason != Reason.HUB_UNREACHABLE:
                    raise failure from error
                log.warning("hub error try=%d pause=%.0f error=%s", tried, pause, failure)
            self._stop.wait(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _done(self, request: Callable[[], Result], seconds: float = math.inf) -> Result:
        """The result of the request. Runs in a thread: it may take hours, and cannot be stopped."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="hub")
        try:
            future, end = executor.submit(request), time.monotonic() + seconds
            while not wait([future], POLL_SECONDS).done:
                self._stop.check()
                if time.monotonic() > end:
                    raise ConnectionError(f"no answer within {seconds:.0f} s")
            return future.result()
        finally:
            # A running request is abandoned: the process ends without it.
            executor.shutdown(wait=False, cancel_futures=True)

    def _failure(self, error: Exception) -> AttemptFailed:
        return failure_of(error, self._destination.repository)


def _read_token(file: str | None) -> str | None:
    path = None if file is None else Path(file).expanduser()
    return path.read_text().strip() if path is not None and path.is_file() else None


def failure_of(error: Exception, repository: str) -> AttemptFailed:
    """The failure for an error of the hub's client, with its category."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    if isinstance(error, AttemptFailed):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = f"{status}: {getattr(error, 'server_message', None) or _first_line(error)}"
    match status:
        case 401:
            return attempt_failed(
                Reason.HUB_TOKEN_INVALID,
                f"push_to_hub: the hub does not accept the token ({said})",
                f"put a valid token into {_SECRET}, as HF_TOKEN",
            )
        case 403 | 404:
            return _no_write_access(f"{repository}, the hub reports {said}")
        case int() if 400 <= status < 500 and status not in MAY_PASS:
            return attempt_failed(
                Reason.HUB_REFUSED,
                f"push_to_hub: the hub refuses {repository} ({said})",
                "change the key that the message is about: hub_model_id, hub_revision or "
                "hub_private_repo",
            )
    if isinstance(error, HFValidationError | OfflineModeIsEnabled):
        return attempt_failed(
            Reason.HUB_REFUSED,
            f"push_to_hub: {_first_line(error)}",
            "set hub_model_id to OWNER/NAME, or take HF_HUB_OFFLINE out of the environment",
        )
    return attempt_failed(
        Reason.HUB_UNREACHABLE,
        f"push_to_hub: the hub returned an unexpected response ({_first_line(error)})",
        "allow the pods to reach the hub, or leave push_to_hub out",
    )


def _require_writing(account: Mapping[str, Any]) -> None:
    """
    Raises:
        AttemptFailed: the token has no write permission.
    """
    token = (account.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise _no_write_access(f"the hub; the token of {account.get('name')} may only read")
    scopes = [
        permission
        for scope in (token.get("fineGrained") or {}).get("scoped") or ()
        for permission in scope.get("permissions") or ()
    ]
    if token.get("role") == "fineGrained" and "repo.write" not in scopes:
        raise _no_write_access(f"the hub; the token of {account.get('name')} has no write access")


def _no_write_access(where: str) -> AttemptFailed:
    return attempt_failed(
        Reason.HUB_ACCESS_DENIED,
        f"push_to_hub: no write access to {where}",
        "set hub_model_id to a repository that the token may write to, or put a token that may "
        f"write there into {_SECRET}, as HF_TOKEN",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
