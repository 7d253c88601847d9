# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/platform/monitoring.md: the metrics and the alerts.

`make generate` writes them; a test compares.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client.metrics import MetricWrapperBase

from finetune_operator.telemetry import metrics
from repository.marked_blocks import with_blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "platform" / "monitoring.md"
ALERTS = ROOT / "charts" / "finetune-operator" / "files" / "alerts.yaml"


def with_tables(page: str) -> str:
    """The page with its correct tables."""
    tables = {"metrics": _metrics, "alerts": _alerts}
    return with_blocks(page, lambda name: tables[name]())


def _metrics() -> Iterator[str]:
    yield from ("| metric | labels | what it is |", "| --- | --- | --- |")
    for counted in vars(metrics).values():
        if isinstance(counted, MetricWrapperBase):
            (family,) = counted.describe()
            suffix = "_total" if family.type == "counter" else ""
            yield _metric(f"{family.name}{suffix}", counted._labelnames, family.documentation)
    for name, (text, labels) in (metrics.GAUGES | metrics.COUNTERS).items():
        yield _metric(name, labels, text)


def _metric(name: str, labels: tuple[str, ...], text: str) -> str:
    return f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {_plain(text)} |"


def _plain(text: str) -> str:
    return text.replace("<", "\\<").replace("|", "\\|")


def _alerts() -> Iterator[str]:
    yield from ("| alert | severity | after | what to do |", "| --- | --- | --- | --- |")
    for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]:
        after, severity = rule.get("for", "at once"), rule["labels"]["severity"]
        advice = " ".join(rule["annotations"]["description"].split())
        yield f"| `{rule['alert']}` | {severity} | {after} | {_plain(advice)} |"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
