# SPDX-License-Identifier: Apache-2.0
"""Reports the fate of each trained tensor: log lines, and a file."""

import json
import logging

from finetune_trainer.exchange.workspace import Workspace, write_atomically
from finetune_trainer.ranks.movement.account import Account
from finetune_trainer.ranks.movement.fates import Fate, fate_of

log = logging.getLogger(__name__)


def tell(account: Account, workspace: Workspace) -> None:
    """Runs on one rank of all."""
    fates = {tensor.name: fate_of(tensor, account) for tensor in account.tensors}
    for fate in Fate:
        names = [name for name, found in fates.items() if found is fate]
        if names and fate is not Fate.MOVED:
            log.warning("trained tensors fate=%s count=%d names=%s", fate, len(names), names)
    moved = list(fates.values()).count(Fate.MOVED)
    log.info("trained tensors moved=%d of=%d", moved, len(fates))
    write_atomically(workspace.movement, json.dumps(fates, indent=2))
