# SPDX-License-Identifier: Apache-2.0
"""Where on the hub a run is to be pushed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_contract.run import Run
from finetune_spec.config.parse.schema import load_schema
from finetune_trainer.plan.training_plan import effective_config

END = "end"
CHECKPOINT = "checkpoint"
ALL_CHECKPOINTS = "all_checkpoints"

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A repository, and how it is to be filled."""

    repository: str
    """With or without its owner: without one it is the token's."""
    revision: str | None = None
    is_private: bool | None = None
    """Of a repository that is made; None for what its owner has chosen."""
    strategy: str = END
    always_push: bool = False
    """Whether a push may begin while the one before is under way."""
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    """None for the login of this machine."""
    token_file: str | None = None
    """Where a token lies, if it is not given itself."""


def destination_of(run: Run, variables: Mapping[str, str]) -> Destination | None:
    """Where the run is to be pushed; None where nobody has asked for it."""
    config = effective_config(run)
    if not config.get("push_to_hub"):
        return None
    env = config.get("env")
    given: Mapping[str, Any] = {**variables, **(env if isinstance(env, Mapping) else {})}
    tokens = (config.get("hub_token"), *(given.get(name) for name in TOKENS))
    return Destination(
        # TRL would name it after its output folder, which here is one of the work folder.
        repository=config.get("hub_model_id") or run.job.name,
        revision=config.get("hub_revision"),
        is_private=config.get("hub_private_repo"),
        strategy=config.get("hub_strategy") or str(load_schema().default("hub_strategy")),
        always_push=bool(config.get("hub_always_push")),
        endpoint=given.get("HF_ENDPOINT"),
        token=next((str(token) for token in tokens if token), None),
        token_file=given.get("HF_TOKEN_PATH"),
    )
