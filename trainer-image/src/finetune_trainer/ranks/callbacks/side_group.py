# SPDX-License-Identifier: Apache-2.0
"""What ranks say to each other between two steps, without waiting for their GPUs.

Over NCCL the word would queue behind all that a GPU still has to compute, and the answer would be
read once all of that is done: at every step, the CPU could prepare nothing meanwhile.
"""

from datetime import timedelta

import torch
import torch.distributed as dist

_GLOO = "gloo"


class SideGroup:
    """All ranks, over gloo: the group that there is where it speaks gloo, else one beside it."""

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None

    def any_rank(self, *answers: bool, longest_wait: float) -> list[bool]:
        """Each answer as true as it is for any rank; all ranks get the same.

        Every rank must ask, and for the first time as the same one of their common calls: the group
        is made then. `longest_wait` is for a rank that doesn't answer, in seconds.
        """
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return list(answers)
        if self._group is None:
            self._group = _find_or_make(longest_wait)
        told = torch.tensor([int(answer) for answer in answers])
        dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self._group)
        return [bool(answer) for answer in told.tolist()]


def _find_or_make(longest_wait: float) -> dist.ProcessGroup | None:
    """The group for tensors of the CPU."""
    everyone = dist.group.WORLD
    if f"cpu:{_GLOO}" in dist.get_backend_config(everyone):
        return everyone
    return dist.new_group(backend=_GLOO, timeout=timedelta(seconds=longest_wait))
