# SPDX-License-Identifier: Apache-2.0
"""Where an attempt takes place: what the supervisor found, and what it was given."""

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
    """Where an attempt takes place."""

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
    """Where the ranks' own words go; None for where the supervisor's go."""
    has_whole_environment: bool = True
    """Whether a token can only come by an environment variable, as in a pod."""
