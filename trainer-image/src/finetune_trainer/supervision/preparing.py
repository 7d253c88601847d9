# SPDX-License-Identifier: Apache-2.0
"""Prepares a node's data before its ranks start: an established process group gives up on a rank
that prepares a million rows while the others wait.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.supervision.launching import Launch, ranks_of_node, run_alone

log = logging.getLogger(__name__)

LEAST_BYTES = 2 * 1024**2
"""A smaller file is tokenized before another process has imported torch."""


def prepare_ahead(launch: Launch, config: Mapping[str, Any], stop: StopRequest) -> None:
    """Fills the cache of `datasets`, where the ranks find the prepared data. The ranks will meet
    and report any error again.

    Raises:
        Interrupted: a stop was requested.
    """
    if launch.world.size == 1 or not is_worth_it(config):
        return
    log.info("preparing the data before the ranks start")
    first = ranks_of_node(launch.world, launch.node)[0]
    ended = run_alone(launch, "finetune_trainer.ranks.prepare", stop, str(first))
    launch.workspace.heartbeat(first).unlink(missing_ok=True)
    stop.check()
    if ended.exit_code != 0:
        log.warning("the data was not prepared in advance: the ranks prepare it")


def is_worth_it(config: Mapping[str, Any]) -> bool:
    """Whether there is much to prepare, by the fetched files; a dataset of the hub may have any
    size. The config is the plan's.
    """
    if config.get("dataset_streaming") or config.get("streaming"):
        return False
    sizes = [_bytes_at(Path(name)) for name in _places(config)]
    return None in sizes or sum(it or 0 for it in sizes) >= LEAST_BYTES


def _places(config: Mapping[str, Any]) -> Iterator[str]:
    parts = config.get("datasets") or [{"path": config.get("dataset_name")}]
    for part in parts:
        if isinstance(part, Mapping) and part.get("path"):
            yield str(part["path"])


def _bytes_at(place: Path) -> int | None:
    if place.is_dir():
        return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return place.stat().st_size if place.is_file() else None
