# SPDX-License-Identifier: Apache-2.0
"""Every place of this repository that names its version, and how to change them all.

`make version VERSION=` runs it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from repository.tracked import ROOT, tracked_files

IN_TEXTS = (
    # An image of ours with a version as its tag, in any variant.
    r"finetune-(?:operator|trainer|results-page):(\d+\.\d+\.\d+)\b",
    r"\btag: (\d+\.\d+\.\d+)\b",
    r"\.tag=(\d+\.\d+\.\d+)\b",
    r"targetRevision: v(\d+\.\d+\.\d+)\b",
    r"^ARG VERSION=(\S+)$",
    r"\bVERSION=(\d+\.\d+\.\d+)\b",
    r"finetune-operator --version (\d+\.\d+\.\d+)\b",
    r"finetune-operator-(\d+\.\d+\.\d+)\.",
    r"/releases/v(\d+\.\d+\.\d+)\b",
    r"app\.kubernetes\.io/version: \"(\d[^\"]*)\"",
)
"""The notations of a release's version in guides, manifests, examples and Dockerfiles."""
IN_CHART = (r"^(?:version|appVersion): (\S+)$",)
IN_PROJECTS = (r"^version = \"([^\"]+)\"$", r"\"finetune-[a-z-]+(?:\[[a-z,]+\])?==([^\"]+)\"")

CHART = ROOT / "charts" / "finetune-operator" / "Chart.yaml"
CHANGELOG = ROOT / "CHANGELOG.md"

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def texts() -> list[Path]:
    """Everything except tests, whose versions are examples, and pinned libraries."""
    apart = ("tests", "requirements", "testbed", ".github")
    kinds = {".md", ".yaml", ".yml", ""}
    return [
        file
        for file in tracked_files()
        if file.relative_to(ROOT).parts[0] not in apart and file.suffix in kinds
    ]


def versions_named_in(text: str) -> set[str]:
    return {found for form in IN_TEXTS for found in re.findall(form, text, re.MULTILINE)}


def changed(text: str, version: str, notations: tuple[str, ...]) -> str:
    """The text with this version in each of these notations."""

    def replaced(found: re.Match[str]) -> str:
        start, end = (place - found.start() for place in found.span(1))
        return f"{found.group()[:start]}{version}{found.group()[end:]}"

    for notation in notations:
        text = re.sub(notation, replaced, text, flags=re.MULTILINE)
    return text


def with_section(changelog: str, version: str) -> str:
    """The changelog, which begins with a section for this version."""
    before, heading, rest = changelog.partition("\n## ")
    if rest.startswith(f"{version} "):
        return changelog
    return f"{before}\n## {version} (not released yet)\n{heading}{rest}"


def change(version: str) -> Iterator[Path]:
    """Sets the version of the repository; the files that changed."""
    places: list[tuple[Path, tuple[str, ...]]] = [(file, IN_TEXTS) for file in texts()]
    places.append((CHART, IN_CHART))
    places += [(file, IN_PROJECTS) for file in sorted(ROOT.glob("*/pyproject.toml"))]
    for file, notations in places:
        text = file.read_bytes().decode(errors="surrogateescape")
        new = changed(text, version, notations)
        if new != text:
            file.write_bytes(new.encode(errors="surrogateescape"))
            yield file
    CHANGELOG.write_text(with_section(CHANGELOG.read_text(), version))


def main(version: str) -> int:
    if not _VERSION.fullmatch(version):
        print(f"VERSION is {version or 'not set'}: expected three numbers, such as 0.2.0")
        return 1
    for file in change(version):
        print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
