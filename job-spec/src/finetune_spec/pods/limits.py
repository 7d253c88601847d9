# SPDX-License-Identifier: Apache-2.0
"""Checks the limits of a job's pods against their requests. No I/O here."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.problem import Problem
from finetune_spec.pods.devices import RESOURCES
from finetune_spec.quantities import parse_amount

_IN_PODS = {"ephemeralStorage": "ephemeral-storage"}


def name_in_pods(name: str) -> str:
    """What pods call a resource: `ephemeralStorage` is `ephemeral-storage` there."""
    return _IN_PODS.get(name, name)


def check_limits(resources: Mapping[str, Any]) -> Iterator[Problem]:
    """Limits below their request: the API server would refuse every pod."""
    for name, limit in (resources.get("limits") or {}).items():
        request = resources.get(name)
        if request is None or limit is None:
            continue
        most, least = parse_amount(str(limit)), parse_amount(str(request))
        if most is not None and least is not None and most < least:
            message = f"found {limit}, expected at least {RESOURCES}.{name}, which is {request}"
            yield Problem(path=f"{RESOURCES}.limits.{name}", message=message)
