# SPDX-License-Identifier: Apache-2.0
"""Brings what a run's config names into the work folder."""

from pathlib import Path

from finetune_trainer.inputs import fetching
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.training_plan import names_to_fetch
from finetune_trainer.supervision.context import AttemptContext


def fetch_inputs(
    run: ParsedRun, context: AttemptContext, *, only: str | None = None
) -> dict[str, Path]:
    """Where each model and data set of the config is now, hub names left out; `only` of one key."""
    paths: dict[str, Path] = {}
    for place, (key, name) in enumerate(names_to_fetch(run.config)):
        if only not in (None, key):
            continue
        folder = context.workspace.inputs / f"{place}-{key}"
        found = fetching.fetch(key, name, folder, context.environment, context.stop)
        if found is not None:
            paths[name] = found
    return paths
