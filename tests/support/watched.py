# SPDX-License-Identifier: Apache-2.0
"""What a watch hands over."""

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

    def notice_listed(self) -> None:
        self.lists += 1
