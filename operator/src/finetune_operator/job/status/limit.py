# SPDX-License-Identifier: Apache-2.0
"""within_limit: keeps a status within the size that etcd and its readers can handle. No I/O here.

This is the only place that cuts parts to limit the total size; the oldest are cut first.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from finetune_operator.job.definitions import read_definition
from finetune_operator.objects.raw import Manifest

MAX_BYTES = 64 * 1024
RESERVED = 16 * 1024
"""Reserved for the additions of a trainer's report between two passes: figures, metrics, the curve,
answers.
"""

_LARGEST = 2**63 - 1
_MANY_DIGITS = re.compile(r"\d{19}")

SHORT = 80
"""Characters of an old attempt's message that still show its subject."""
LONG = 1024
"""Characters of a condition's or failure's message; Events are cut to the same length."""

_ESSENTIAL = frozenset(
    {
        "number", "name", "startTime", "endTime", "result", "category", "reason", "definition",
        "definitionDigest",
        "adjustments", "gpus", "podsStartTime",
    }
)  # fmt: skip
"""The fields of an attempt's record that decisions, and the sums over attempts, depend on."""


def within_limit(status: Mapping[str, Any]) -> Manifest:
    """The same status if it fits; else without its oldest parts, as many as needed.

    A counter that continues from a hand-written number stays an int64: the API server would refuse
    it forever.

    The messages of old attempts are shortened first, then those of conditions. Then the figures of
    old attempts are dropped, then records of attempts that do not count, and last the curve, the
    answers and the notes.
    """
    cut: Manifest = dict(status)
    text = _text_of(cut)
    if _MANY_DIGITS.search(text):
        cut = _with_int64s(cut)
    size = len(text.encode())
    for step in _STEPS:
        if size <= MAX_BYTES - RESERVED:
            return cut
        step(cut, size - (MAX_BYTES - RESERVED))
        size = size_of(cut)
    return cut


def size_of(document: object) -> int:
    """Bytes as JSON; a character beyond ASCII counts as the API server stores it."""
    return len(_text_of(document).encode())


def _text_of(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _with_int64s(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_int64s(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_int64s(item) for item in value]
    return max(-_LARGEST, min(value, _LARGEST)) if type(value) is int else value


def _shorten_attempts(status: Manifest, excess: int) -> None:
    _rewrite_attempts(status, excess, _with_short_message)


def _reduce_attempts(status: Manifest, excess: int) -> None:
    _rewrite_attempts(status, excess, _essential)


def _rewrite_attempts(
    status: Manifest, excess: int, rewrite: Callable[[Manifest], Manifest]
) -> None:
    """Oldest first, no more of them than necessary; the newest stays complete."""
    records = list(status.get("attempts", ()))
    for position, record in enumerate(records[:-1]):
        if excess <= 0:
            break
        rewritten = rewrite(record)
        excess -= size_of(record) - size_of(rewritten)
        records[position] = rewritten
    _put(status, "attempts", records)


def _drop_attempts(status: Manifest, excess: int) -> None:
    """Failed attempts of the current definition stay: they are counted."""
    records, kept = list(status.get("attempts", ())), []
    for record in records[:-1]:
        is_counted = record["result"] == "Failed" and read_definition(record) in (
            None,
            read_definition(status),
        )
        if excess > 0 and not is_counted:
            excess -= size_of(record) + 1
        else:
            kept.append(record)
    _put(status, "attempts", [*kept, *records[-1:]])


def _shorten_conditions(status: Manifest, excess: int) -> None:
    told = [
        {**found, "message": shortened(found["message"], LONG)}
        for found in status.get("conditions", ())
    ]
    _put(status, "conditions", told)
    failure = status.get("failure", {})
    texts = {key: shortened(failure[key], LONG) for key in ("message", "remedy") if key in failure}
    _put(status, "failure", {**failure, **texts})


def _drop_curve(status: Manifest, excess: int) -> None:
    status.pop("lossHistory", None)
    status.pop("answers", None)
    status.pop("notes", None)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _with_short_message(record: Manifest) -> Manifest:
    kept = {name: value for name, value in record.items() if name != "remedy"}
    return {**kept, "message": shortened(record["message"], SHORT)} if "message" in record else kept


def _essential(record: Manifest) -> Manifest:
    # The complete digest contains its first digits.
    spare = {"definition"} if record.get("definitionDigest") else set()
    return {name: value for name, value in record.items() if name in _ESSENTIAL - spare}


def _put(status: Manifest, name: str, value: Any) -> None:
    if name in status:
        status[name] = value


_STEPS = (
    _shorten_attempts,
    _shorten_conditions,
    _reduce_attempts,
    _drop_attempts,
    _drop_curve,
)
