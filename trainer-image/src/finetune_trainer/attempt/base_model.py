# SPDX-License-Identifier: Apache-2.0
"""Checks that the base model can be trained, before it is downloaded and before any rank starts."""

import logging
from pathlib import Path

from finetune_spec.base_model.damage import remedy_of
from finetune_spec.base_model.files import find_damage
from finetune_trainer.attempt.checking import check
from finetune_trainer.attempt.starting_adapter import require_fitting_adapter
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.inputs.hub_model import is_on_hub
from finetune_trainer.inputs.model_facts import ModelUnknown, SeenModel, look_at_model
from finetune_trainer.plan.packages import require_tokenizer_package
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)

KEY = "model_name_or_path"


def require_base_model(run: ParsedRun, context: AttemptContext, folder: Path | None = None) -> None:
    """Checks the parts of the model that can be read at its location, or in the directory that it
    was fetched to. A model that cannot be read from here is not judged; fetching or loading it
    reports more.

    Raises:
        AttemptFailed: it cannot be trained, or not with this config.
    """
    name = str(run.config[KEY])
    place, revision = str(folder or name), run.config["model_revision"] or "main"
    # The config may set the address of the hub.
    variables = {str(key): str(value) for key, value in run.config.variables.items()}
    try:
        seen = look_at_model(place, revision, {**context.environment, **variables})
    except ModelUnknown as unknown:
        log.info("base model not checked reason=%s", unknown)
        return
    require_sound_files(name, seen)
    require_fitting_adapter(run, seen)
    modules = () if seen.files is None else seen.files.modules
    check(run, context, model=seen.config, modules=modules)


def require_sound_files(name: str, seen: SeenModel) -> None:
    """
    Raises:
        AttemptFailed: the files cannot be trained with any config.
    """
    damage = None if seen.files is None else find_damage(seen.files, seen.config)
    if damage is not None:
        remedy = remedy_of(damage, on_hub=is_on_hub(name))
        raise attempt_failed(damage.reason, f"{damage.message} ({KEY}: {name})", remedy)
    if seen.files is not None:
        require_tokenizer_package(seen.files.names)
