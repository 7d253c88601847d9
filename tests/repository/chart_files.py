# SPDX-License-Identifier: Apache-2.0
"""Files generated from and for the chart: its copy of the CRDs, its README's table, and deploy/.

`make generate` writes them; a test compares.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from testbed import helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "finetune-operator"
DEPLOY = ROOT / "deploy"
OPERATOR = "finetune-operator"
NAMESPACE = "finetune-system"

OPERATOR_TEMPLATES = (
    "serviceaccount",
    "rights",
    "service",
    "deployment",
    "poddisruptionbudget",
)

_HELMS_OWN = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: .*\n", re.MULTILINE)
_TABLE = re.compile(r"(## Values\n\n).*\Z", re.DOTALL)


def files() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    crds = sorted((ROOT / "crds").glob("*.yaml"))
    readme = CHART / "README.md"
    return {
        **{CHART / "files" / "crds" / crd.name: crd.read_text() for crd in crds},
        readme: with_table(readme.read_text(), (CHART / "values.yaml").read_text()),
        DEPLOY / "operator.yaml": _plain(OPERATOR_TEMPLATES),
        DEPLOY / "webhook.yaml": _plain(("webhook",)),
        DEPLOY / "admissionpolicy.yaml": _plain(("admissionpolicy",)),
    }


def _plain(templates: tuple[str, ...]) -> str:
    """These templates with the chart's defaults, without parts that only helm needs."""
    chosen = [word for name in templates for word in ("-s", f"templates/{name}.yaml")]
    rendered = helm.run("template", OPERATOR, CHART, "--namespace", NAMESPACE, *chosen)
    text = _SOURCE.sub("", _HELMS_OWN.sub("", rendered))
    documents = [part.strip() for part in re.split(r"^---\n", text, flags=re.MULTILINE)]
    return (
        "\n---\n".join(["# Made by `make generate` from the chart.", *filter(None, documents)])
        + "\n"
    )


def with_table(readme: str, values: str) -> str:
    """The chart's README with the table of these values: for each its default and its comment."""
    defaults = yaml.safe_load(values)
    rows = [
        f"| `{name}` | `{_short(_at(defaults, name))}` | {text} |"
        for _, name, text in value_lines(values)
    ]
    table = "\n".join(["| value | default | what it is |", "| --- | --- | --- |", *rows]) + "\n"
    return _TABLE.sub(lambda found: found[1] + table, readme)


def value_lines(values: str) -> Iterator[tuple[int, str, str]]:
    """For each value that is no section: its line's index, its dotted name, the comment above
    it.
    """
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for index, line in enumerate(values.splitlines()):
        stripped = line.strip()
        if not stripped:
            comment = []
        elif stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
        elif found := re.match(r"( *)(\w+):( \S.*)?$", line):
            depth = len(found[1])
            path = [(indent, name) for indent, name in path if indent < depth]
            path.append((depth, found[2]))
            if found[3] is not None:
                yield index, ".".join(name for _, name in path), " ".join(comment)
            comment = []


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


def _short(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    )


if __name__ == "__main__":
    for file, text in files().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
