# SPDX-License-Identifier: Apache-2.0
"""Removes secrets from failures and from all output of our processes.

A secret is recognized by the name of its variable or config key, by its place in a URL (long values
in the config's own addresses are always hidden), or by its format. Only `hide_in_output` has
effects outside of this module.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO
from urllib.parse import unquote

from finetune_contract.documents import value_in
from finetune_contract.outcome import Failure

HIDDEN = "***"
SHORTEST = 6
"""A shorter value is no secret, and hiding it would remove parts of ordinary words."""

SHORTEST_IN_ADDRESS = 16
"""Shorter values there are common words: `?format=parquet`, `?download=true`."""

_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY|SAS_?KEY"
    r"|PRIVATE_?KEY|AUTH_?KEY|CONNECTION_?STRING",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    # Names of places and identities, and the tokens of a language model.
    r"(_FILE|_PATH|_DIR|_FOLDER|_URL|_URI|_ID|_TTL|_NAME|TOKENIZERS_PARALLELISM|MAX_TOKENS"
    r"|_TOKENS|KUBEFLOW_TRAINER_SERVER_TOKEN|(EOS|PAD|BOS|UNK|SEP|CLS|MASK|IMAGE|VIDEO|AUDIO|VISION|STOP|START|END)_TOKEN)$",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@'\"?#]+(?=@)")
_SIGNED_QUERY = re.compile(
    r"(?<=\?)[^\s'\"<>?]*?(?:signature|sig|token|credential|password|secret|api_?key|accesskeyid)"
    r"=[^\s'\"<>]*",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}"
    r"|(?<=\bBearer )[A-Za-z0-9._~+/=-]{8,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
)


@dataclass(frozen=True, slots=True)
class Redaction:
    """The secrets of one process, or of one attempt."""

    values: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, environment: Mapping[str, str], config: Mapping[str, Any] | None = None
    ) -> "Redaction":
        """The secrets in the environment and the config, at any depth."""
        found = {*_secrets(environment), *_secrets(config or {}), *_in_addresses(config)}
        # The longer first, if one is a part of another.
        return cls(tuple(sorted(found, key=lambda value: (-len(value), value))))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for value in self.values:
            if value in text:
                text = text.replace(value, HIDDEN)
        if "://" in text:
            text = _SIGNED_QUERY.sub(HIDDEN, _USER_IN_URL.sub(HIDDEN, text))
        return _SHAPES.sub(HIDDEN, text)

    def failure(self, failure: Failure) -> Failure:
        """The failure without secrets: it goes into status, events and logs."""
        return replace(
            failure, message=self.text(failure.message), remedy=self.text(failure.remedy)
        )


def is_secret_name(name: object) -> bool:
    """Whether the value under this name must be hidden."""
    return _NAME.search(str(name)) is not None and _NO_SECRET.search(str(name)) is None


def _secrets(value: Any) -> Iterator[str]:
    """The secrets in a mapping, and in everything that it contains, including JSON in texts."""
    if isinstance(value, str):
        value = value_in(value)
    if isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)
    if isinstance(value, Mapping):
        for name, item in value.items():
            if is_secret_name(name) and isinstance(item, str):
                if len(item) >= SHORTEST:
                    yield item
            else:
                yield from _secrets(item)


def _in_addresses(value: Any) -> Iterator[str]:
    """Every sufficiently long value in the queries and credentials of the config's addresses."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _in_addresses(item)
        return
    if not isinstance(value, str) or "://" not in value:
        return
    address, _, query = value.partition("?")
    login = address.partition("://")[2].partition("/")[0].rpartition("@")[0]
    for each in (login.partition(":")[2], *(pair.partition("=")[2] for pair in query.split("&"))):
        if len(each) >= SHORTEST_IN_ADDRESS:
            yield from {each, unquote(each)}


def hide_in_output(environment: Mapping[str, str], config: Mapping[str, Any] | None = None) -> None:
    """Removes secrets from everything that Python prints, logs or traces here from now on.

    Another call adds secrets. It must come before logging uses the streams.
    """
    redaction = Redaction.of(environment, config)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _RedactedStream):
            stream.redaction = redaction
        else:
            setattr(sys, name, _RedactedStream(stream, redaction))


class _RedactedStream:
    """A stream that writes no secrets; everything else is the stream's own."""

    def __init__(self, stream: TextIO, redaction: Redaction) -> None:
        self._stream = stream
        self.redaction = redaction

    def write(self, text: str) -> int:
        self._stream.write(self.redaction.text(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
