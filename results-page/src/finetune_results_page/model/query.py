# SPDX-License-Identifier: Apache-2.0
"""Converts between URLs and their requests: a list and its filters, one job, or a comparison.

Everything is in the query parameters, so that each view can be linked to, works behind any path,
and needs no script.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import urlencode

from finetune_results_page.model.values import clean

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""Names of namespaces and jobs; nothing else may become a part of a path."""

COMPARED: Final = 6
"""The number of curves that can be distinguished in one picture."""

SORTS: Final = ("created", "name", "phase", "progress", "loss", "gpus")
NEWEST_FIRST: Final = "-created"

_PHASES, _PAGE = 20, 6


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class JobName:
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    namespace: str = ""
    """"" means all."""
    name: str = ""
    """The name of the job that is shown; "" for the list."""
    text: str = ""
    model: str = ""
    phases: tuple[str, ...] = ()
    sort: str = NEWEST_FIRST
    """One of SORTS, descending with a "-" before it."""
    page: int = 1
    ticked: tuple[JobName, ...] = ()
    """At most COMPARED jobs, to be compared."""
    is_comparison: bool = False

    @property
    def is_filtered(self) -> bool:
        return bool(self.text or self.model or self.phases)

    def but(self, **changes: Any) -> Self:
        """The same with these changes. If the order or the filters change, page 1."""
        return replace(self, **({"page": 1} | changes))

    def address(self) -> str:
        """Relative to the page, without default values."""
        parameters = [
            ("namespace", self.namespace),
            ("name", self.name),
            ("q", self.text),
            ("model", self.model),
            *(("phase", phase) for phase in self.phases),
            ("sort", "" if self.sort == NEWEST_FIRST else self.sort),
            ("page", "" if self.page == 1 else f"{self.page}"),
            *(("job", f"{key}") for key in self.ticked),
            ("view", "compare" if self.is_comparison else ""),
        ]
        encoded = urlencode([(name, value) for name, value in parameters if value], safe="/")
        return f"?{encoded}" if encoded else "./"


def job_address(key: JobName) -> str:
    return Query(namespace=key.namespace, name=key.name).address()


def parse_query(parameters: Iterable[tuple[str, str]]) -> Query:
    """
    Raises:
        ValueError: a name in it is not a name of a namespace or a job.
    """
    given: dict[str, list[str]] = {}
    for key, value in parameters:
        given.setdefault(key, []).append(value)
    first = {key: values[0].strip() for key, values in given.items()}
    sort, page = first.get("sort", ""), first.get("page", "")
    return Query(
        namespace=_name(first.get("namespace", "")),
        name=_name(first.get("name", "")),
        text=clean(first.get("q", ""), 200),
        model=clean(first.get("model", "")),
        phases=_distinct(clean(it, 40) for it in given.get("phase", [])[:_PHASES]),
        sort=sort if sort.removeprefix("-") in SORTS else NEWEST_FIRST,
        page=max(1, int(page)) if re.fullmatch(rf"[0-9]{{1,{_PAGE}}}", page) else 1,
        ticked=_ticked(given.get("job", [])),
        is_comparison=first.get("view") == "compare",
    )


def _name(value: str) -> str:
    if value and not NAME.fullmatch(value):
        raise ValueError(f"{clean(value, 100)!r} is not the name of a namespace or a job")
    return value


def _ticked(values: Iterable[str]) -> tuple[JobName, ...]:
    keys: dict[JobName, None] = {}
    for value in values:
        namespace, _, name = value.partition("/")
        if not (namespace and name):
            raise ValueError(f"{clean(value, 100)!r} is not a job, expected NAMESPACE/NAME")
        keys[JobName(namespace=_name(namespace), name=_name(name))] = None
        if len(keys) == COMPARED:
            break
    return tuple(keys)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
