# SPDX-License-Identifier: Apache-2.0
"""Prepares a node's data before its ranks start, in the cache of `datasets`, where they find it.

python3 -m finetune_trainer.ranks.prepare WORK_FOLDER RANK

It builds the same trainer as a rank, around a model without weights, and ends when the data is
prepared: a rank then makes the same requests to `datasets` as this process.
"""

import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import yaml

from finetune_spec.config import read_config
from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.exchange.rank_settings import LAUNCHER_VARIABLES, RankSettings
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import Stage
from finetune_trainer.failures.log_lines import set_up_log
from finetune_trainer.failures.redaction import hide_in_output
from finetune_trainer.failures.stopping import end_process
from finetune_trainer.plan.exclusions import excluded_packages
from finetune_trainer.ranks.launcher import die_with_parent

log = logging.getLogger(__name__)

_OF_GROUPS = ("deepspeed", "fsdp", "fsdp_config", "ddp_backend", "eval_on_start")
"""Keys of the config about the distribution over ranks, or their first steps."""

_OF_LAUNCHES = ("ACCELERATE_", "FSDP_")


def prepare(workspace: Workspace, settings: RankSettings, heart: Heart) -> None:
    """Raises the same errors as a rank."""
    config = yaml.safe_load(workspace.config.read_text())
    alone = {key: value for key, value in config.items() if key not in _OF_GROUPS}
    workspace.preparation.write_text(yaml.safe_dump(alone, allow_unicode=True))
    for package in excluded_packages(read_config(alone), os.environ):
        sys.modules[package] = None  # type: ignore[assignment] # import refuses it then
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.blueprint import draw
    from finetune_trainer.ranks.building import Trainer, build_trainer, load_processor
    from finetune_trainer.ranks.callbacks.heartbeat import beat_with_data
    from finetune_trainer.ranks.callbacks.progress import DoingRecorder
    from finetune_trainer.ranks.data import prepare_data
    from finetune_trainer.ranks.data.fitting import fit_to_template
    from finetune_trainer.ranks.model.loading import model_init_kwargs

    class Preparation(Trainer):
        """A trainer whose construction ends after its data."""

        def __init__(self, *args: Any, **options: Any) -> None:
            self.left = 1 if options.get("eval_dataset") is None else 2
            super().__init__(*args, **options)

        def _prepare_dataset(self, *args: Any, **options: Any) -> Any:
            prepared = super()._prepare_dataset(*args, **options)
            self.left -= 1
            if self.left == 0:
                raise _Prepared
            return prepared

    def load(arguments: Any) -> Any:
        name = str(arguments.model.model_name_or_path)
        model = draw(name, model_init_kwargs(arguments))
        model.loading_notes = ()
        return model

    beat_with_data(heart, DoingRecorder(workspace).tell)
    arguments = read_arguments(workspace.preparation, settings.cpus)
    try:
        data = fit_to_template(prepare_data(arguments), arguments, load_processor(arguments))
        build_trainer(arguments, data.dataset, load, Preparation)
    except _Prepared:
        log.info("the data is prepared")


class _Prepared(Exception):
    """The preparation is done."""


def main(workspace: Workspace, rank: int) -> int:
    die_with_parent()
    for name in list(os.environ):
        if name in LAUNCHER_VARIABLES or name.startswith(_OF_LAUNCHES):
            del os.environ[name]
    heart = Heart(workspace.heartbeat(rank))
    heart.beat(Stage.DATA.value)
    try:
        settings = RankSettings.from_json(workspace.rank_settings.read_text())
        prepare(workspace, settings, heart)
    except Exception as error:  # noqa: BLE001 - the ranks meet it again, and tell it
        log.warning("not prepared in advance error=%s: %s", type(error).__name__, error)
        return 1
    return 0


if __name__ == "__main__":
    hide_in_output(os.environ)
    set_up_log(logging.INFO, "%(levelname)s %(name)s %(message)s")
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or sys.stderr)
    end_process(main(Workspace(root=Path(sys.argv[1])), int(sys.argv[2])))
