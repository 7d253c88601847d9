# SPDX-License-Identifier: Apache-2.0
"""KnownSpecs: a cache of parsed specs by content. No I/O here.

Most passes handle an unchanged spec, and parsing it takes longer than the rest of the pass. The key
is the complete content that `read_spec` depends on, so an entry cannot become stale. A generation
would not do: it stays the same when a newer CRD fills in another default.
"""

import marshal
from typing import Any

from finetune_operator.job.spec import ReadSpec, SpecReader, read_spec
from finetune_operator.objects.raw import Body
from finetune_operator.settings import Settings
from finetune_spec.job import KnownModel
from finetune_spec.pods.passed_on import PREFIX as PASSED_ON

MOST_BYTES = 2 * 1024 * 1024
"""The size of all entries as text: enough for more than a thousand typical jobs."""

LARGEST_BYTES = 32 * 1024
"""Larger specs are parsed again in each pass: one would displace many others."""


class KnownSpecs:
    """The results of `read_spec` by content; the least recently used are dropped first."""

    def __init__(self, read_new: SpecReader = read_spec, most_bytes: int = MOST_BYTES) -> None:
        self._read_new = read_new
        self._most_bytes = most_bytes
        self._bytes = 0
        self._known: dict[tuple[bytes, Settings], ReadSpec] = {}
        """In order of their last use."""

    def read(self, body: Body, settings: Settings, model: KnownModel | None = None) -> ReadSpec:
        """A `SpecReader`."""
        content = _content(body, model)
        if len(content) > LARGEST_BYTES:
            return self._read_new(body, settings, model)
        key = content, settings
        known = self._known.pop(key, None)
        if known is None:
            known = self._read_new(body, settings, model)
            self._bytes += len(content)
        self._known[key] = known
        while self._bytes > self._most_bytes:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._bytes -= len(oldest[0])
        return known


def _content(body: Body, model: KnownModel | None) -> bytes:
    """Equal for inputs that `read_spec` treats as equal, including type and order: 1 is not true,
    and problems are reported in the order of the keys.
    """
    metadata = body["metadata"]
    labels = [it for it in (metadata.get("labels") or {}).items() if it[0].startswith(PASSED_ON)]
    read: Any = (
        body["spec"],
        metadata["namespace"],
        metadata.get("annotations"),
        labels,
        model and (model.config, model.damage, model.modules),
    )
    # Version 0 has no references, so equal values have equal bytes.
    return marshal.dumps(read, 0)
