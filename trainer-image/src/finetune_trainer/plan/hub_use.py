# SPDX-License-Identifier: Apache-2.0
"""Whether the ranks still need the hub after the supervisor has fetched the inputs. No I/O.

Ranks that do not need it work offline: a slow or unreachable hub then affects no training, and no
rank starts a download that is not reported.
"""

from collections.abc import Callable, Collection
from typing import Any

from finetune_spec.config import SftConfig

_OFFLINE = {"HF_HUB_OFFLINE": "1"}


def without_hub(config: SftConfig, here: Collection[str]) -> dict[str, str]:
    """The variables that keep the ranks from using the hub; empty if they may need it. `here` has
    the names in the config that were fetched.
    """
    is_all_here = all(name in here for _, name in config.sources)
    return _OFFLINE if is_all_here and not any(uses(config) for uses in _USES) else {}


def _has_code_of_its_own(config: SftConfig) -> Any:
    return config["trust_remote_code"]


def _has_function_of_a_user(config: SftConfig) -> Any:
    return config["metric_fn"]


def _has_kernels_of_hub(config: SftConfig) -> Any:
    return "/" in str(config["attn_implementation"] or "")


def _reports_to_hub(config: SftConfig) -> Any:
    """trackio's board is a Space; the meaning of `all` is known where trackers are imported."""
    return {"all", "trackio"} & {*config.trackers}


_USES: tuple[Callable[[SftConfig], Any], ...] = (
    _has_code_of_its_own,
    _has_function_of_a_user,
    _has_kernels_of_hub,
    _reports_to_hub,
)
"""Keys that may fetch more from the hub than the config names."""
