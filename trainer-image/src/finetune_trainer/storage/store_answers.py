# SPDX-License-Identifier: Apache-2.0
"""An object store's response, parsed from the text of its client's error. No I/O here.

The client raises one generic error for most refusals, so the store's own code and message are only
in its text: as XML (S3, GCS, Azure, AWS STS) or as JSON (the token services of Google and Entra). A
response to HEAD has no body, and so neither code nor message.
"""

import re
from dataclasses import dataclass

_STATUS = re.compile(r"status code: (\d{3})\b")
_CODE = re.compile(r"<Code>([\w.]+)</Code>|\(code: ([\w.]+)\)")
_ENTRA_CODE = re.compile(r"\b(AADSTS\d+)\b")
_JSON_CODE = re.compile(r'"(?:reason|error)"\s*:\s*"([\w.]+)"')
_MESSAGE = re.compile(r"<Message>(.*?)</Message>|\"(?:error_description|message)\"\s*:\s*\"(.*?)\"")
_DETAIL = re.compile(r"<(AuthenticationErrorDetail|Details)>(.*?)</\1>")
_REGION = re.compile(r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'")
_RETRIED = re.compile(r"after \d+ retries")
REDIRECTED = "Received redirect without LOCATION"
"""The client's text for a redirect to another region: without the store's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnswer:
    """A refusal, as far as its text contains it."""

    status: int | None = None
    """None without a response, or if the client does not report it."""
    code: str = ""
    """The store's own, such as `NoSuchBucket`; empty if it sent none."""
    words: str = ""
    """The store's message, or else the client's."""
    region: str = ""
    """The correct region, named by the store."""
    was_retried: bool = False
    """Whether the client has retried for its maximum time."""


def read_answer(text: str) -> StoreAnswer:
    """The answer in the text of an error."""
    told = text.partition("Debug source:")[0]
    status = _STATUS.search(told)
    return StoreAnswer(
        status=int(status[1]) if status else None,
        code=_first(_CODE, told) or _first(_ENTRA_CODE, told) or _first(_JSON_CODE, told),
        words=_words(told),
        region=_first(_REGION, told),
        was_retried=_RETRIED.search(told) is not None,
    )


def _words(text: str) -> str:
    """The store's own sentence, without internals of the request."""
    message = _first(_MESSAGE, text)
    if not message:
        return " ".join(text.split())[:300]
    detail = _DETAIL.search(text)
    words = f"{message} {detail[2]}" if detail and detail[2] not in message else message
    return " ".join(words.replace("\\r\\n", " ").split())[:300]


def _first(pattern: "re.Pattern[str]", text: str) -> str:
    match = pattern.search(text)
    return next(filter(None, match.groups()), "") if match else ""
