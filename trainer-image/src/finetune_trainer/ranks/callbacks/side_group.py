# SPDX-License-Identifier: Apache-2.0
"""Communication of ranks between two steps, without waiting for their GPUs.

With NCCL a message would queue behind all pending work of a GPU, and the result could only be read
after that: at every step, the CPU could not prepare anything in the meantime.
"""

from datetime import timedelta

import torch
import torch.distributed as dist

_GLOO = "gloo"


class SideGroup:
    """All ranks, with gloo: the existing group if it uses gloo, else an additional one."""

    def __init__(self) -> None:
        self._group: dist.ProcessGroup | None = None

    def any_rank(self, *answers: bool, longest_wait: float) -> list[bool]:
        """Each answer is true if it is true on any rank; all ranks get the same.

        Every rank must call it, for the first time at the same one of their common calls, because
        the group is created then. `longest_wait` is the timeout for a rank that does not respond,
        in seconds.
        """
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return list(answers)
        if self._group is None:
            self._group = _find_or_make(longest_wait)
        told = torch.tensor([int(answer) for answer in answers])
        dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self._group)
        return [bool(answer) for answer in told.tolist()]


def _find_or_make(longest_wait: float) -> dist.ProcessGroup | None:
    """The group for tensors on the CPU."""
    everyone = dist.group.WORLD
    if f"cpu:{_GLOO}" in dist.get_backend_config(everyone):
        return everyone
    return dist.new_group(backend=_GLOO, timeout=timedelta(seconds=longest_wait))
