# SPDX-License-Identifier: Apache-2.0
"""in_turn: orders objects so that no namespace's objects displace another's. No I/O here."""

from collections import defaultdict
from collections.abc import Iterable

from finetune_operator.objects.raw import Body


def in_turn(bodies: Iterable[Body]) -> list[Body]:
    """The newest of each namespace, then the second of each, so that a thousand objects of one
    tenant displace no other's.
    """
    newest = sorted(bodies, key=lambda it: str(it["metadata"]["creationTimestamp"]), reverse=True)
    ranks: dict[str, int] = defaultdict(int)
    turns = []
    for body in newest:
        namespace = body["metadata"]["namespace"]
        turns.append((ranks[namespace], body))
        ranks[namespace] += 1
    return [body for _, body in sorted(turns, key=lambda turn: turn[0])]
