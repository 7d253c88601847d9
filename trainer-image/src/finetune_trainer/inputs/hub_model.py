# SPDX-License-Identifier: Apache-2.0
"""A model of the hub, read in a few small requests before it is downloaded."""

from collections.abc import Mapping
from pathlib import Path

from finetune_trainer.inputs.hub.bounded import HubSilent
from finetune_trainer.inputs.hub.fetching import is_offline
from finetune_trainer.inputs.hub.repository import (
    endpoint_in,
    file_url,
    open_repository,
    reader_for,
    within_time,
)
from finetune_trainer.inputs.model_files import SeenFiles, look_at
from finetune_trainer.storage import locations


class NotCached(Exception):
    """The model is not in the hub's cache, and no request may be sent."""


def is_on_hub(name: str) -> bool:
    # transformers looks for a directory first, too.
    is_elsewhere = locations.is_in_store(name) or locations.path_of(name) is not None
    return not is_elsewhere and not Path(name).is_dir()


def read_small_file(name: str, file: str, revision: str, environment: Mapping[str, str]) -> bytes:
    """A file such as config.json from the hub's cache on this machine, or with one request: the
    hub's own client retries for too long.

    Raises:
        NotCached: no request may be sent.
        FileNotFoundError: the hub has no such file.
        OSError: the hub does not send it.
        ValueError: this cannot be the name of a model.
    """
    # Imported late: it takes a third of a second, and models in stores and directories do not need
    # it.
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, file, revision=revision)
    if isinstance(cached, str):
        return Path(cached).read_bytes()
    if _is_offline(environment):
        raise NotCached(f"{name} is not in the hub's cache here, and HF_HUB_OFFLINE is set")
    url, reader = (
        file_url(name, file, revision, endpoint_in(environment)),
        reader_for(environment),
    )
    return within_time(lambda: reader.get(url)).content


def look_at_repository(name: str, revision: str, environment: Mapping[str, str]) -> SeenFiles:
    """The files of this model on the hub.

    Raises:
        OSError: the hub does not send enough of them.
    """
    if _is_offline(environment):
        raise HubSilent("HF_HUB_OFFLINE is set")

    def look() -> SeenFiles:
        repository = open_repository(name, revision, environment)
        return look_at(repository, repository.read_ahead)

    return within_time(look)


def _is_offline(environment: Mapping[str, str]) -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or is_offline(environment)
