# SPDX-License-Identifier: Apache-2.0
"""What an object store answered: read from the text of its client's error. No I/O here.

The client raises one generic error for most refusals, so that the store's own code and words are
only in its text: as XML (S3, GCS, Azure, AWS STS) or as JSON (the token services of Google and
Entra). An answer to HEAD has no body, and so neither code nor words.
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
"""How the client tells of a redirect to another region: without the store's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnswer:
    """A refusal, as far as its text tells."""

    status: int | None = None
    """None where there was no answer, or the client does not tell."""
    code: str = ""
    """The store's own, such as `NoSuchBucket`; empty where it gave none."""
    words: str = ""
    """What the store said, or else what its client says."""
    region: str = ""
    """The region that the store named as the right one."""
    was_retried: bool = False
    """Whether the client has tried again for as long as it may."""


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
    """The store's own sentence, without the request's innards."""
    message = _first(_MESSAGE, text)
    if not message:
        return " ".join(text.split())[:300]
    detail = _DETAIL.search(text)
    words = f"{message} {detail[2]}" if detail and detail[2] not in message else message
    return " ".join(words.replace("\\r\\n", " ").split())[:300]


def _first(pattern: "re.Pattern[str]", text: str) -> str:
    match = pattern.search(text)
    return next(filter(None, match.groups()), "") if match else ""
