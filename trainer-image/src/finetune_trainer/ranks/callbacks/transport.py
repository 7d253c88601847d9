# SPDX-License-Identifier: Apache-2.0
"""Logs how NCCL has connected the GPUs, after the first step, which establishes the connections."""

import logging
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer.plan.node import nccl_log

log = logging.getLogger(__name__)


class TransportReport(TrainerCallback):
    """Each node's first rank logs the transports of its node, with a warning for sockets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_due = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self._is_due or not state.is_local_process_zero:
            return
        self._is_due = False
        if found := nccl_log.read_transports(self._folder):
            log.info("NCCL transports: %s", ", ".join(found))
        if nccl_log.SOCKETS in found:
            log.warning(nccl_log.OVER_SOCKETS)
