# SPDX-License-Identifier: Apache-2.0
"""The tree in README.md: one phrase per file, out of the files' own docstrings.

`make generate` writes it; a test compares.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

FOLDERS = (
    ("contract/", "what both images agree on; standard library only", "contract/src"),
    ("operator/", "the operator: a project folder, never a package", "operator/src"),
    ("trainer-image/", "the trainer and its Dockerfile", "trainer-image/src"),
    ("kubectl-finetune/", "the kubectl plugin", "kubectl-finetune/src"),
    ("crds/", "the CustomResourceDefinitions of jobs and schedules", None),
    ("charts/finetune-operator/", "the Helm chart: one command installs it all", None),
    (
        "deploy/",
        "the same for kubectl and Kustomize, made from the chart",
        None,
    ),
    ("Dockerfile", "the operator's image", None),
    ("configs/", "examples, their data sets, JSON Schemas for editors", None),
    ("requirements/", "hashed locks: what development, operator and trainer install", None),
    ("docs/", "guides, decisions and benchmarks", None),
    ("tests/contract/", "what one side writes, the other reads", None),
    ("tests/operator/", "the pure pipeline in tables, its shell against fakes", None),
    ("tests/trainer/", "plan, checkpoints, outcomes; short real trainings", None),
    ("tests/storage/", "a real object store on 127.0.0.1", None),
    ("tests/repository/", "architecture and generated files", None),
    ("tests/benchmarks/", "what docs/benchmarks.md is measured with", None),
    ("tests/plugin/", "what kubectl finetune says", None),
    ("tests/chart/", "the chart, rendered by the real helm", None),
    ("tests/cluster/", "the whole path on a real cluster", None),
    ("tests/cluster/testbed/", "that cluster: python -m testbed", "tests/cluster/testbed/src"),
)
"""Each folder with its phrase, and where the modules below it are that get one each."""

_BLOCK = re.compile(r"(## The tree\n\n```\n).*?(```\n)", re.DOTALL)


def with_tree(readme: str) -> str:
    """The text with its tree as it should be."""
    tree = "\n".join(_lines()) + "\n"
    return _BLOCK.sub(lambda block: block.group(1) + tree + block.group(2), readme)


def _lines() -> Iterator[str]:
    for name, phrase, sources in FOLDERS:
        yield f"{name:<28}{phrase}"
        if sources is None:
            continue
        package = next(folder for folder in (ROOT / sources).iterdir() if folder.is_dir())
        for file in sorted(package.rglob("*.py")):
            if file != package / "__init__.py":
                yield f"  {file.relative_to(package).as_posix():<25} {_phrase(file)}"


def _phrase(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return re.split(r"\.\s", docstring.replace("\n", " ") + " ")[0].rstrip(":")


if __name__ == "__main__":
    README.write_text(with_tree(README.read_text()))
