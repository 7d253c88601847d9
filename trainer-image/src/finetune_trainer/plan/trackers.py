# SPDX-License-Identifier: Apache-2.0
"""The trackers in `report_to`: whether this image has them, and the directories of those without a
server.

Nothing is imported here. Secrets come from the environment and stay there.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from finetune_contract.reasons import Reason
from finetune_spec.config import SftConfig
from finetune_spec.packages import BY_KEY, TRACKERS
from finetune_spec.packages import PACKAGES as OPTIONAL
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.plan.parsed_run import ParsedRun

PACKAGES: Mapping[str, tuple[str, ...]] = {
    tracker: tuple(OPTIONAL[name].module for name in need.packages)
    for tracker, need in BY_KEY[TRACKERS].items()
}
"""The modules that transformers' integration of each looks for; any one of them is sufficient."""

SLOW_TO_IMPORT = ("wandb",)
"""Modules that TRL imports in every rank if they are installed, even without `report_to`."""

OFFLINE = ("offline", "dryrun")
"""The values of WANDB_MODE with which nothing is sent."""

_ALL, _NONE = "all", "none"


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def named_in(config: SftConfig, has: Callable[[str], bool] = is_installed) -> tuple[str, ...]:
    """The trackers that a config names; for `all`, those that are installed."""
    if _ALL in config.trackers:
        return installed(has)
    return tuple(name for name in config.trackers if name != _NONE)


def installed(has: Callable[[str], bool] = is_installed) -> tuple[str, ...]:
    """The trackers that this image has."""
    return tuple(name for name, packages in PACKAGES.items() if any(map(has, packages)))


def require_installed(config: SftConfig, has: Callable[[str], bool] = is_installed) -> None:
    """
    Raises:
        AttemptFailed: the config names a tracker whose package is not in this image.
    """
    there = installed(has)
    for name in named_in(config, has):
        if name in PACKAGES and name not in there:
            package = PACKAGES[name][0]
            has_others, remedy = _instead(there, package)
            raise attempt_failed(
                Reason.TRACKER_NOT_INSTALLED,
                f'report_to: found "{name}", but this trainer image lacks the package {package}; '
                f"{has_others}",
                remedy,
            )


def _instead(there: tuple[str, ...], package: str) -> tuple[str, str]:
    """The available trackers, and the remedy. A laptop may have none: they are a separate extra."""
    if there:
        return (
            f"it has the packages of {', '.join(there)}",
            f"name one of them, or set spec.image to an image that also has {package}",
        )
    remedy = (
        f"install {package} (the extra trackers of finetune-cli has the most common ones), "
        "or set report_to to none"
    )
    return "no tracker is installed", remedy


def not_named_in(config: SftConfig) -> tuple[str, ...]:
    """The slow packages that this config does not need."""
    named = named_in(config)
    return tuple(name for name in SLOW_TO_IMPORT if name not in named)


def environment(run: ParsedRun, folder: Path) -> dict[str, str]:
    """The directories and run names of trackers; the user's own values take precedence."""
    return {
        "TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard"),
        "MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri(),
        # By default MLflow uses a database, whose client training does not need.
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "TRACKIO_DIR": str(folder / "trackio"),
        "WANDB_DIR": str(folder),
        "WANDB_NAME": run.job.name,
        # Each attempt continues the same curve. Another job with the same config is another run.
        "WANDB_RUN_ID": f"{run.run_id}-{run.job.uid[:8]}",
        "WANDB_RESUME": "allow",
        # Users have not agreed to report errors to the tracker's vendor.
        "WANDB_ERROR_REPORTING": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def kept_here(config: SftConfig, folder: Path, variables: Mapping[str, str]) -> tuple[str, ...]:
    """The trackers that have written files here and sent them nowhere."""
    given = {**variables, **config.variables}
    is_offline = str(given.get("WANDB_MODE", "")).lower() in OFFLINE
    # In addition to the data it sends, wandb keeps logs that contain paths of the pod.
    return tuple(
        name
        for name in named_in(config)
        if (folder / name).is_dir() and (name != "wandb" or is_offline)
    )
