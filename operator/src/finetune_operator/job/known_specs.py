# SPDX-License-Identifier: Apache-2.0
"""KnownSpecs: what specs say, read once for each content and kept for later passes. No I/O here.

Most passes are over a spec that nobody has changed, and to read one takes longer than all else of
a pass. What is kept is found by the whole content that `read_spec` depends on, so that it cannot
get stale: not by a generation, which stays the same where a newer CRD fills in another default.
"""

import marshal
from typing import Any

from finetune_operator.job.spec import KnownModel, ReadSpec, SpecReader, read_spec
from finetune_operator.objects.raw import Body
from finetune_operator.settings import Settings

MOST_BYTES = 2 * 1024 * 1024
"""Of all that is kept, as text: more than a thousand jobs as people write them."""

LARGEST_BYTES = 32 * 1024
"""What is larger is read anew in each pass: it would take the place of many."""


class KnownSpecs:
    """The answers of `read_spec`, each for its content; those that were not asked for go first."""

    def __init__(self, read_new: SpecReader = read_spec, most_bytes: int = MOST_BYTES) -> None:
        self._read_new = read_new
        self._most_bytes = most_bytes
        self._bytes = 0
        self._known: dict[tuple[bytes, Settings], ReadSpec] = {}
        """In the order in which they were asked for last."""

    def read(self, body: Body, settings: Settings, model: KnownModel = None) -> ReadSpec:
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


def _content(body: Body, model: KnownModel) -> bytes:
    """Equal for what is equal to `read_spec`, to the type and the order: 1 is not true there, and
    problems are told in the order of the keys."""
    metadata = body["metadata"]
    passed_on = metadata.get("labels"), metadata.get("annotations")
    read: Any = (body["spec"], metadata["namespace"], *passed_on, model)
    # The format without references, in which equal values have equal bytes.
    return marshal.dumps(read, 0)
