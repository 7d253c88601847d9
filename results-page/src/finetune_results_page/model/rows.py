# SPDX-License-Identifier: Apache-2.0
"""The rows of the list, from the columns of `kubectl get finetunejobs -o wide`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_results_page.model.phases import FIRST
from finetune_results_page.model.query import NAME, JobName
from finetune_results_page.model.values import clean, entries_of, mapping_of, number_of, time_of
from finetune_results_page.model.wording import model_name


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job of the list. A column that the CRD does not have is empty."""

    key: JobName
    created: datetime | None
    phase: str
    percent: float | None
    step: float | None
    loss: float | None
    gpus: float | None
    attempt: float | None
    eta: str
    queue: str
    model: str
    """The name in the config: a hub name or a location."""
    output: str
    reason: str
    """The reason of the condition Ready."""

    @property
    def model_name(self) -> str:
        return model_name(self.model)

    @property
    def has_curve(self) -> bool:
        """Whether its status can have a loss history: without a loss there is none to read."""
        return self.loss is not None


def parse_rows(table: Any) -> tuple[JobRow, ...]:
    """The rows of a meta.k8s.io/v1 Table.

    See https://kubernetes.io/docs/reference/using-api/api-concepts/.
    """
    columns = [
        clean(column.get("name"))
        for column in entries_of(mapping_of(table).get("columnDefinitions"))
    ]
    return tuple(_rows(mapping_of(table).get("rows"), columns))


def _rows(rows: Any, columns: list[str]) -> Iterator[JobRow]:
    for row in entries_of(rows, limit=len(rows) if isinstance(rows, list) else 0):
        metadata = mapping_of(mapping_of(row.get("object")).get("metadata"))
        namespace, name = metadata.get("namespace"), metadata.get("name")
        if not all(isinstance(it, str) and NAME.fullmatch(it) for it in (namespace, name)):
            continue
        listed = row.get("cells")
        cells = dict(zip(columns, listed if isinstance(listed, list) else [], strict=False))
        yield _row(JobName(namespace=str(namespace), name=str(name)), metadata, cells)


def _row(key: JobName, metadata: Mapping[str, Any], cells: Mapping[str, Any]) -> JobRow:
    return JobRow(
        key=key,
        created=time_of(metadata.get("creationTimestamp")),
        phase=clean(cells.get("Phase"), 40) or FIRST,
        percent=_percent_of(cells.get("Progress")),
        step=number_of(cells.get("Step")),
        loss=number_of(cells.get("Loss")),
        gpus=number_of(cells.get("GPUs")),
        attempt=number_of(cells.get("Attempt")),
        eta=clean(cells.get("ETA"), 40),
        queue=clean(cells.get("Queue"), 80),
        model=clean(cells.get("Model")),
        output=clean(cells.get("Output")),
        reason=clean(cells.get("Reason"), 80),
    )


def _percent_of(value: object) -> float | None:
    number = number_of(value)
    return None if number is None else min(100.0, max(0.0, number))
