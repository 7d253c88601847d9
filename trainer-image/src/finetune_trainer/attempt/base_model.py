# SPDX-License-Identifier: Apache-2.0
"""Whether the base model can be trained, before it is downloaded and before any rank starts."""

import logging
from importlib.util import find_spec
from pathlib import Path

from finetune_contract.reasons import Reason
from finetune_spec.base_model.files import SENTENCEPIECE, find_damage
from finetune_trainer.attempt.checking import check
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.inputs.model_facts import ModelUnknown, SeenModel, look_at_model
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage import locations
from finetune_trainer.supervision.context import AttemptContext

log = logging.getLogger(__name__)

KEY = "model_name_or_path"


def is_on_the_hub(name: str) -> bool:
    is_elsewhere = locations.is_in_store(name) or locations.path_of(name) is not None
    return not is_elsewhere and not Path(name).is_dir()


def require_base_model(run: ParsedRun, context: AttemptContext) -> None:
    """Look at what can be read of the model where it is; nothing is said of one that can't be read
    from here, as whoever fetches or loads it says more.

    Raises:
        AttemptFailed: it can't be trained, or not with this config.
    """
    name = str(run.config[KEY])
    try:
        seen = look_at_model(name, run.config["model_revision"] or "main", context.environment)
    except ModelUnknown as unknown:
        log.info("base model not looked at reason=%s", unknown)
        return
    require_sound_files(name, seen)
    modules = () if seen.files is None else seen.files.modules
    check(run, context, model=seen.config, modules=modules)


def require_sound_files(name: str, seen: SeenModel) -> None:
    """
    Raises:
        AttemptFailed: the files can't be trained, whatever the config says.
    """
    damage = None if seen.files is None else find_damage(seen.files, seen.config)
    if damage is not None:
        raise attempt_failed(damage.reason, f"{damage.message} ({KEY}: {name})", damage.remedy)
    if seen.files is not None and seen.files.needs_sentencepiece:
        require_sentencepiece(name)


def require_sentencepiece(name: str) -> None:
    """
    Raises:
        AttemptFailed: this image has no sentencepiece.
    """
    if find_spec("sentencepiece") is None:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            f"{KEY}: the tokenizer of {name} is in SentencePiece's format alone ({SENTENCEPIECE}), "
            "which this image can't read: it has no sentencepiece",
            "save the tokenizer with AutoTokenizer where sentencepiece is installed, and upload "
            "its tokenizer.json too; or bring an image that has sentencepiece",
        )
