# SPDX-License-Identifier: Apache-2.0
"""An adapter in place of a model: fetches it, checks it, and puts its base model into the run.

From then on the run is that of any base model: everything that checks, estimates, trains, verifies
or describes it reads the base model's name in its config. The adapter is small, so it is fetched
before its base model is looked at.
"""

import logging
from pathlib import Path

from finetune_contract.reasons import Reason
from finetune_spec.base_model.adapter_fit import find_contradictions, find_misfit, settings_of
from finetune_spec.base_model.adapters import Adapter, UnusableAdapter
from finetune_spec.base_model.damage import Damage, remedy_of
from finetune_spec.config import SftConfig
from finetune_spec.config.parse.sft_config import ADAPTER_BASE, AS_MODEL, MODEL
from finetune_trainer.attempt.inputs_here import fetch_named
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.inputs.adapter_files import read_adapter, write_checked
from finetune_trainer.inputs.hub_model import is_on_hub
from finetune_trainer.inputs.model_facts import SeenModel
from finetune_trainer.plan.parsed_run import ParsedRun, StartingAdapter
from finetune_trainer.storage import locations
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)

FOLDER = "starting-adapter"
"""The directory of its files, among the inputs."""


def settle_adapter(run: ParsedRun, context: AttemptContext) -> ParsedRun:
    """The run with the adapter's base model in its config; the same run for a model.

    Raises:
        AttemptFailed: there is no adapter, or it cannot be trained, or not with this config.
        Interrupted: a stop was requested.
    """
    if not run.config[AS_MODEL] or run.starting is not None:
        return run
    name = str(run.config[MODEL])
    folder = fetch_named(name, context.workspace.inputs / FOLDER, run, context)
    if folder is None:
        raise attempt_failed(
            Reason.MODEL_NOT_FOUND,
            f"{MODEL}: the adapter {name} is not in the hub's cache here, and the hub must not be "
            "used",
            "unset HF_HUB_OFFLINE, or put the adapter into the cache",
        )
    try:
        seen = read_adapter(FolderStore(folder), name)
        settings = settings_of(seen.adapter, run.config)
        _require_there(settings[MODEL], run.config)
        if damage := find_misfit(seen.adapter, seen.tensors, {}, {}):
            raise UnusableAdapter(damage)
    except UnusableAdapter as unusable:
        raise _failed(unusable.damage, name) from None
    _require_agreement(run.config, seen.adapter)
    write_checked(seen, folder, context.workspace.adapter)
    log.info("starting adapter=%s base=%s", name, settings[MODEL])
    return run.starting_from(
        StartingAdapter(
            name=name,
            folder=folder,
            is_folder=Path(name).is_dir(),
            adapter=seen.adapter,
            tensors=seen.tensors,
            written=run.config.resolved,
            settings=settings,
        )
    )


def require_fitting_adapter(run: ParsedRun, seen: SeenModel) -> None:
    """
    Raises:
        AttemptFailed: the tensors of the adapter do not fit the base model's.
    """
    if run.starting is None or seen.files is None:
        return
    starting = run.starting
    shapes = seen.files.shapes
    damage = find_misfit(starting.adapter, starting.tensors, shapes, seen.config or {})
    if damage is not None:
        raise _failed(damage, starting.name)


def _require_there(base: str, config: SftConfig) -> None:
    path = locations.path_of(base)
    if path is None or path.is_dir() or config[ADAPTER_BASE]:
        return
    raise UnusableAdapter(
        Damage(
            reason=Reason.MODEL_NOT_FOUND,
            message=f"the adapter names the base model {base}, a directory that does not exist "
            "here",
            remedy=f"set {ADAPTER_BASE} to the name or location of the adapter's base model",
        )
    )


def _require_agreement(config: SftConfig, adapter: Adapter) -> None:
    if problems := [*find_contradictions(config, adapter)]:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            "; ".join(str(problem) for problem in problems),
            f"remove {', '.join(problem.key for problem in problems)}, or set the adapter's own "
            "values",
        )


def _failed(damage: Damage, name: str) -> AttemptFailed:
    remedy = remedy_of(damage, on_hub=is_on_hub(name))
    return attempt_failed(damage.reason, f"{damage.message} ({MODEL}: {name})", remedy)
