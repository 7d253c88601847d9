# SPDX-License-Identifier: Apache-2.0
"""The context of an attempt: facts that the supervisor found, and its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter

START_SECONDS = 3600.0
"""The default of a job's `startDeadlineSeconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """The context of an attempt."""

    workspace: Workspace
    environment: Mapping[str, str]
    hardware: Hardware
    stop: StopRequest
    reporter: Reporter
    grace_seconds: float
    node: int = 0
    start_seconds: float = START_SECONDS
    """How long the nodes wait for each other."""
    rank_output: Path | None = None
    """The file for the ranks' output; None for the supervisor's own output."""
    has_whole_environment: bool = True
    """Whether a token can only come from an environment variable, as in a pod."""
