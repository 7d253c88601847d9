# SPDX-License-Identifier: Apache-2.0
"""The hub repository that a run is pushed to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_trainer.plan.parsed_run import ParsedRun

END = "end"
CHECKPOINT = "checkpoint"
ALL_CHECKPOINTS = "all_checkpoints"

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A repository, and how it is filled."""

    repository: str
    """The repository with or without its owner; the default is the token's owner."""
    revision: str | None = None
    is_private: bool | None = None
    """For a new repository; None for the owner's default."""
    strategy: str = END
    always_push: bool = False
    """Whether a push may begin while the previous one is running."""
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    """None for the login of this machine."""
    token_file: str | None = None
    """The file of a token, if it is not given itself."""


def destination_of(run: ParsedRun, variables: Mapping[str, str]) -> Destination | None:
    """The repository that the run is pushed to; None if pushing is not requested."""
    config = run.config
    if not config["push_to_hub"]:
        return None
    given: Mapping[str, Any] = {**variables, **config.variables}
    tokens = (config["hub_token"], *(given.get(name) for name in TOKENS))
    return Destination(
        # TRL would name it after its output directory, which here is in the work directory.
        repository=config["hub_model_id"] or run.job.name,
        revision=config["hub_revision"],
        is_private=config["hub_private_repo"],
        strategy=config["hub_strategy"] or config.schema.default("hub_strategy"),
        always_push=bool(config["hub_always_push"]),
        endpoint=given.get("HF_ENDPOINT"),
        token=next((str(token) for token in tokens if token), None),
        token_file=given.get("HF_TOKEN_PATH"),
    )
