# SPDX-License-Identifier: Apache-2.0
"""Trackers and the hub, and the secrets that they require. No I/O here."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The environment variables that a service requires."""

    all_of: tuple[str, ...]
    or_mode: tuple[str, tuple[str, ...]] | None = None
    """A variable, and those of its values with which no other variable is required."""
    also: tuple[str, ...] = ()
    """Less common variables, each of which is sufficient."""


TRACKERS: Mapping[str, Needs] = {
    "wandb": Needs(
        all_of=("WANDB_API_KEY",),
        or_mode=("WANDB_MODE", ("offline", "disabled", "dryrun")),
        also=("WANDB_IDENTITY_TOKEN_FILE",),
    ),
    "comet_ml": Needs(
        all_of=("COMET_API_KEY",), or_mode=("COMET_START_ONLINE", ("0", "false", "False"))
    ),
    "neptune": Needs(
        all_of=("NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT"),
        or_mode=("NEPTUNE_MODE", ("offline", "debug")),
    ),
    "swanlab": Needs(
        all_of=("SWANLAB_API_KEY",), or_mode=("SWANLAB_MODE", ("offline", "local", "disabled"))
    ),
    # Its callback takes owner and repository from this address.
    "dagshub": Needs(all_of=("MLFLOW_TRACKING_URI",)),
}
"""Integrations of transformers that stop a training; mlflow, tensorboard and others do not.

A pod has no prompt for a key and no home directory with one.
"""

HUB = Needs(all_of=("HF_TOKEN",), also=("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"))

_ALL = ("all", ("wandb",))
"""The meaning of `report_to: all`: those of the above that the trainer image has."""

_SECRET = "into the Secret of spec.output.credentialsSecretRef"


def check_trackers(config: Reading, context: Context) -> Iterator[Problem]:
    """Each tracker's `init` raises at the first step, after the model was loaded."""
    named = config.trackers
    for tracker in _ALL[1] if _ALL[0] in named else named:
        needs = TRACKERS.get(tracker)
        missing = _missing(needs, config, context.environment) if needs is not None else ()
        if needs is None or not missing:
            continue
        found = quoted(tracker)
        if tracker not in named:
            found = f"{quoted(_ALL[0])}, and so {found},"
        instead = ""
        if needs.or_mode is not None:
            variable, modes = needs.or_mode
            instead = f", or set env.{variable} to {quoted(modes[0])}"
        yield Problem(
            path=config.name("report_to"),
            message=f"found {found} without {' and '.join(missing)}: put "
            f"{'it' if len(missing) == 1 else 'them'} {_SECRET}{instead}",
        )


def check_hub(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer.init_hf_repo` creates the repository before training, and the hub refuses."""
    if not config["push_to_hub"] or config["hub_token"]:
        return
    if _missing(HUB, config, context.environment):
        yield Problem(
            path=config.name("push_to_hub"),
            message=f"found true without HF_TOKEN: put it {_SECRET}",
        )


def _missing(needs: Needs, config: Reading, environment: Collection[str] | None) -> tuple[str, ...]:
    """The variables that a service lacks; empty if the environment is unknown."""
    if environment is None:
        return ()
    given: Mapping[str, Any] = config.mapping("env")
    known = {*environment, *(name for name, value in given.items() if value not in (None, ""))}
    if needs.or_mode is not None:
        variable, modes = needs.or_mode
        # The value of a variable from elsewhere is unknown: it may be the right one.
        if str(given[variable]) in modes if variable in given else variable in environment:
            return ()
    if known & set(needs.also):
        return ()
    return tuple(name for name in needs.all_of if name not in known)


RULES = (check_trackers, check_hub)
