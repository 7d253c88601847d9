# SPDX-License-Identifier: Apache-2.0
"""What a watch hands over."""

from collections.abc import Iterable

from finetune_operator.kube.cache import Kind
from finetune_operator.objects.raw import Body


class Received:
    """Records the objects, in place of a replica."""

    def __init__(self) -> None:
        self.objects: list[tuple[Kind, str, bool]] = []
        """Kind, name, and whether it is deleted."""
        self.lists = 0

    def notice(self, kind: Kind, body: Body, *, is_gone: bool) -> None:
        self.objects.append((kind, body["metadata"]["name"], is_gone))

    def notice_page(self, kind: Kind, bodies: Iterable[Body]) -> None:
        self.lists += 1
        for body in bodies:
            self.notice(kind, body, is_gone=False)
