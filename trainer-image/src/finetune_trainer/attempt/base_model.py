# SPDX-License-Identifier: Apache-2.0
"""Checks that the base model can be trained, before it is downloaded and before any rank starts."""

import logging
from pathlib import Path

from finetune_spec.base_model.files import find_damage
from finetune_trainer.attempt.checking import check
from finetune_trainer.attempt.starting_adapter import require_fitting_adapter
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.inputs.model_facts import ModelUnknown, SeenModel, look_at_model
from finetune_trainer.plan.packages import require_tokenizer_package
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage import locations
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)

KEY = "model_name_or_path"


def is_on_the_hub(name: str) -> bool:
    is_elsewhere = locations.is_in_store(name) or locations.path_of(name) is not None
    return not is_elsewhere and not Path(name).is_dir()


def require_base_model(run: ParsedRun, context: AttemptContext) -> None:
    """Checks the parts of the model that can be read at its location. A model that cannot be read
    from here is not judged; fetching or loading it reports more.

    Raises:
        AttemptFailed: it cannot be trained, or not with this config.
    """
    name = str(run.config[KEY])
    try:
        seen = look_at_model(name, run.config["model_revision"] or "main", context.environment)
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
        raise attempt_failed(damage.reason, f"{damage.message} ({KEY}: {name})", damage.remedy)
    if seen.files is not None:
        require_tokenizer_package(seen.files.names)
