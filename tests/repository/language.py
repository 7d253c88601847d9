# SPDX-License-Identifier: Apache-2.0
"""The language of what users read: wordings of language.toml that a text contains, with their line.

`make lint` runs it. It reads the descriptions of the CRDs, the comments, notes, alerts and
dashboard of the chart, the prose of the pages, `--help` of every command, the messages, docstrings
and comments in the sources (`source_texts`), the docstrings and comments of tests, the scripts of
the results page, and the comments of configs, workflows and build files. Code, links and TRL's own
help texts are left out.
"""

import argparse
import contextlib
import io
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_cli.cluster import command_line as cluster
from finetune_cli.local import command_line as local
from repository import source_texts
from repository.source_texts import blank, blanked
from repository.tracked import ROOT, tracked_files

TABLE = Path(__file__).with_name("language.toml")
CHART = ROOT / "charts" / "finetune-operator"
TESTS = ROOT / "tests"

NOT_PROSE = ("tests/", "docs/reference/config.md")
"""Data of tests, and TRL's own words."""

IN_SOURCES = (".py", ".html", ".js")
"""Files in a project's `src` that contain messages."""

COMMENTED = (".toml", ".yml", ".tpl", "Makefile", "Dockerfile")
"""Ends of the names of files with comments that contributors and users read."""

SHOWN = (CHART / "files" / "alerts.yaml", CHART / "files" / "dashboard.json")
"""Files whose texts are shown by other programs."""

_LINES = re.DOTALL | re.MULTILINE
_GENERATED_KEYS = re.compile(r"^ *# Generated from TRL's.*?^ *# End of what is generated", _LINES)
_GENERATED_BLOCK = re.compile(r"^<!-- \S+ -->$.*?^<!-- end -->$", _LINES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A wording in a text."""

    line: int
    words: str
    instead: str


def wordings() -> tuple[Wording, ...]:
    rows = tomllib.loads(TABLE.read_text())["wording"]
    return tuple(
        Wording(
            pattern=re.compile(rf"\b(?:{row['pattern']})\b", re.IGNORECASE), instead=row["instead"]
        )
        for row in rows
    )


def findings_in(text: str, table: tuple[Wording, ...]) -> list[Finding]:
    """The findings in a text, in order. A wording may continue on the next line."""
    return sorted(
        (
            Finding(
                line=text.count("\n", 0, match.start()) + 1,
                words=" ".join(match.group().split()),
                instead=wording.instead,
            )
            for wording in table
            for match in wording.pattern.finditer(text.replace("\n", " "))
        ),
        key=lambda finding: (finding.line, finding.words),
    )


def prose_of(file: Path) -> str:
    """The text of a file that people read as prose, with everything else blank, line by line."""
    text = file.read_text()
    if file.suffix == ".py" and file.is_relative_to(TESTS):
        return source_texts.of_explanations(text)
    if file.suffix == ".yaml" and file.parent.name == "crds":
        return _descriptions(text)
    if file.suffix == ".yaml" and file.parent.name in ("files", "templates"):
        return text
    read = _READERS.get(file.suffix)
    return read(text) if read else text


def texts() -> Iterator[Path]:
    """Everything that is checked."""
    yield from sorted((ROOT / "crds").glob("*.yaml"))
    yield CHART / "values.yaml"
    yield from SHOWN
    templates = CHART / "templates"
    yield from (templates / "NOTES.txt", *sorted(templates.rglob("*.yaml")))
    for file in tracked_files():
        name = file.relative_to(ROOT).as_posix()
        is_read = name.endswith((".md", *COMMENTED)) and not name.startswith(NOT_PROSE)
        is_config = name.startswith("configs/") and file.suffix == ".yaml"
        is_source = file.suffix in IN_SOURCES and "/src/" in name
        is_test = file.suffix == ".py" and file.is_relative_to(TESTS)
        if is_read or is_config or is_source or is_test:
            yield file


def help_texts() -> Iterator[tuple[str, str]]:
    """Both programs and each of their commands, with what `--help` prints."""
    for words in ([], *([command.name] for command in local.COMMANDS)):
        yield " ".join(["finetune", *words]), _help_of(local.parser_of(words), words)
    for words in ([], ["plan"], *([name] for name in cluster.COMMANDS)):
        yield " ".join(["kubectl finetune", *words]), _help_of(cluster.parser_of(words), words)


def problems() -> list[str]:
    """A line for each wording."""
    table = wordings()
    found = [
        f"{command} --help: '{each.words}': write {each.instead}"
        for command, text in help_texts()
        for each in findings_in(text, table)
    ]
    for file in texts():
        name = file.relative_to(ROOT).as_posix()
        findings = findings_in(prose_of(file), table)
        found += [f"{name}:{each.line}: '{each.words}': write {each.instead}" for each in findings]
    return found


def _help_of(parser: argparse.ArgumentParser, words: list[str]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        parser.parse_args([*words, "--help"])
    return printed.getvalue()


def _descriptions(text: str) -> str:
    """The descriptions of a CRD; the generated keys of `spec.config` have TRL's words."""
    own = _GENERATED_KEYS.sub(blank, text)
    kept = re.compile(
        r"description: >-?\n((?: *\n|(?P<indent> +).*\n(?:(?P=indent).*\n)*))|description: ([^\n]*)"
    )
    spans = [match.span() for match in kept.finditer(own)]
    return _only(own, spans)


def _without_code(text: str) -> str:
    # Generated tables have the words of their sources.
    text = _GENERATED_BLOCK.sub(blank, text)
    for code in (r"^```.*?^```", r"`[^`]*`", r"\]\([^)]*\)"):
        text = re.sub(code, blank, text, flags=_LINES)
    return text


def _without_templates(text: str) -> str:
    return re.sub(r"\{\{.*?\}\}", blank, text)


def _only(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with everything blank but these parts."""
    kept, end = [], 0
    for start, stop in spans:
        kept += [blanked(text[end:start]), text[start:stop]]
        end = stop
    return "".join([*kept, blanked(text[end:])])


_READERS = {
    "": source_texts.of_comments,
    ".Dockerfile": source_texts.of_comments,
    ".html": source_texts.of_template,
    ".md": _without_code,
    ".py": source_texts.of_python,
    ".toml": source_texts.of_toml,
    ".txt": _without_templates,
    ".yaml": source_texts.of_comments,
    ".yml": source_texts.of_comments,
}
"""The reader for each end of a file's name. Other files are read completely."""


if __name__ == "__main__":
    told = problems()
    print("\n".join(told))
    sys.exit(1 if told else 0)
