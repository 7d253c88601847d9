# SPDX-License-Identifier: Apache-2.0
"""Names the job field that satisfies a namespace's policy, from the API server's message. No I/O
here.

A quota or a LimitRange names a field of pods, which has another name in a job.
"""

import re
from collections.abc import Iterator

_QUOTA = re.compile(r"must specify (.*)")
_FIELD = re.compile(r"\b(limits|requests)\.(cpu|memory|ephemeral-storage)\b")
_RANGE = re.compile(
    r"(?:maximum|minimum) (cpu|memory|ephemeral-storage) usage per"
    r"|(cpu|memory|ephemeral-storage) max limit to request ratio"
    r"|must be less than or equal to (cpu|memory|ephemeral-storage) limit"
)


def hint_for(words: str) -> str:
    """The change to make in the job, as the end of a sentence; empty if no field is named."""
    fields = list(dict.fromkeys(_fields_in(words)))
    return f" (set {' and '.join(fields)} in the job)" if fields else ""


def _fields_in(words: str) -> Iterator[str]:
    for demanded in _QUOTA.findall(words):
        for kind, resource in _FIELD.findall(demanded):
            yield _limit(resource) if kind == "limits" else _request(resource)
    for names in _RANGE.findall(words):
        resource = next(filter(None, names))
        yield from (_request(resource), _limit(resource))


def _request(resource: str) -> str:
    return f"spec.resources.{_camel_case(resource)}"


def _limit(resource: str) -> str:
    return f"spec.resources.limits.{_camel_case(resource)}"


def _camel_case(resource: str) -> str:
    return resource.replace("-s", "S")
