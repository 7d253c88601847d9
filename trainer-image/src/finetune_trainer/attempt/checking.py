# SPDX-License-Identifier: Apache-2.0
"""Checks an attempt's run against the facts of the node where it trains."""

from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

from finetune_spec.base_model.packed_rows import PACKAGES_FOR_PACKS
from finetune_spec.packages import PACKAGES
from finetune_trainer.plan import training_plan
from finetune_trainer.plan.packages import is_importable
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.supervision.context import AttemptContext


def check(
    run: ParsedRun,
    context: AttemptContext,
    *,
    model: Mapping[str, Any] | None,
    modules: Collection[str] = (),
) -> None:
    """`model` is the base model's config.json and `modules` are the names of its matrices, if
    known.

    Raises:
        AttemptFailed: the config is invalid.
    """
    training_plan.check_run(
        run,
        context.hardware,
        trl_version=metadata.version("trl"),
        variables=context.environment if context.has_whole_environment else None,
        model=model,
        modules=modules,
        packages=[each for each in PACKAGES_FOR_PACKS if is_importable(PACKAGES[each].module)],
    )
