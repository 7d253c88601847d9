# SPDX-License-Identifier: Apache-2.0
"""Rows of the results page's list, and complete jobs; a test states only its subject."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from finetune_results_page.model.query import JobName
from finetune_results_page.model.rows import JobRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_ROW = JobRow(
    key=JobName(namespace="research", name="balloon"),
    created=NOON,
    phase="Running",
    percent=50,
    step=200,
    loss=0.5,
    gpus=2,
    attempt=1,
    eta="12m30s",
    queue="",
    model="Qwen/Qwen2.5-7B-Instruct",
    output="s3://results",
    reason="Training",
)


def a_row(name: str = "balloon", *, namespace: str = "research", **changes: Any) -> JobRow:
    return replace(_ROW, key=JobName(namespace=namespace, name=name), **changes)


def a_curve(points: int, *, last: float = 0.5) -> list[dict[str, float]]:
    """Falls from about three to `last`."""
    return [
        {"step": 10 * number, "loss": round(last + 2.5 * math.exp(-number / points * 4), 4)}
        for number in range(1, points)
    ] + [{"step": 10 * points, "loss": last}]


def a_job(
    name: str = "balloon",
    *,
    namespace: str = "research",
    phase: str = "Running",
    days_old: int = 0,
    config: Mapping[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """As the API server returns it; `status` is added to that of a training job."""
    curve = a_curve(20)
    progress = {"percent": 50, "step": 200, "totalSteps": 400, "loss": 0.5, "eta": "12m30s"}
    created = datetime.now(UTC) - timedelta(days=days_old, minutes=5)
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        },
        "spec": {
            "config": {
                "model_name_or_path": "s3://models/qwen/Qwen2.5-7B-Instruct/",
                "learning_rate": 2e-4,
                **(config or {}),
            },
            "output": {"uri": f"s3://models/{name}"},
        },
        "status": {
            "phase": phase,
            "attempt": 1,
            "gpus": 2,
            "progress": progress,
            "lossHistory": curve,
            **status,
        },
    }
