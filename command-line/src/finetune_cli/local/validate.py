# SPDX-License-Identifier: Apache-2.0
"""`finetune validate`: reports problems in job files before they are applied."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_cli.files import overrides
from finetune_cli.files.file_check import CheckedFile, check_file
from finetune_cli.files.yaml.tree import Found
from finetune_cli.terminal.exits import NO_INPUT, Refused
from finetune_cli.terminal.output import say
from finetune_contract.outcome import ExitCode

DESCRIPTION = """\
Checks FineTuneJobs, FineTuneSchedules and bare SFT configs (the YAML that `trl sft --config`
reads) as the cluster would: the API server's schema, and then every check of webhook, operator and
trainer. It needs neither a cluster nor torch, and reports the line of every error.

In a directory, all *.yaml, *.yml and *.json files are checked and other files are skipped.
YAML is read as kubectl reads it; in addition, duplicate keys are errors.
"""

_STANDARD_INPUT = "<stdin>"
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSource:
    """A file, and its problems."""

    name: str
    checked: CheckedFile


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files", nargs="+", metavar="FILE", help="a file, a directory, or - for standard input"
    )
    command.add_argument(
        "--output",
        choices=("text", "json", "github"),
        default="text",
        help="text for people, json for programs, github for annotations in a pull request",
    )
    overrides.add_option(command)
    command.add_argument("--strict", action="store_true", help="treat warnings as errors")


def validate(options: argparse.Namespace) -> int:
    """Checks the files, prints the problems, and returns the exit code.

    Raises:
        AttemptFailed: a `--set` is invalid, or its path does not exist.
    """
    settings = overrides.parse_overrides(options.settings)
    sources, unreadable = [], []
    for name in options.files:
        try:
            sources += list(_read(name, settings))
        except OSError as error:
            unreadable.append(f"{name} cannot be read: {error.strerror}")
    say(_RENDERERS[options.output](sources))
    if unreadable:
        raise Refused("\n".join(unreadable), NO_INPUT)
    if not any(source.checked.checked for source in sources):
        raise Refused("there is no FineTuneJob, FineTuneSchedule or SFT config to check", NO_INPUT)
    return exit_code(sources, is_strict=options.strict)


def exit_code(sources: Sequence[CheckedSource], *, is_strict: bool) -> int:
    """USER if a file must be changed, else SUCCEEDED."""
    counts = any(is_strict or not found.problem.is_warning for _, found in _all(sources))
    return int(ExitCode.USER if counts else ExitCode.SUCCEEDED)


def _read(name: str, settings: Sequence[overrides.Override]) -> Iterator[CheckedSource]:
    """
    Raises:
        OSError: there is no such file, or it cannot be read.
        AttemptFailed: the path of a `--set` does not exist in it.
    """

    def check(content: bytes, *, is_named: bool) -> CheckedFile:
        return check_file(content, is_named=is_named, overrides=settings)

    if name == "-":
        content = sys.stdin.buffer.read()
        yield CheckedSource(name=_STANDARD_INPUT, checked=check(content, is_named=True))
    elif Path(name).is_dir():
        for path in sorted(_files_in(Path(name))):
            yield CheckedSource(name=str(path), checked=check(path.read_bytes(), is_named=False))
    else:
        yield CheckedSource(name=name, checked=check(Path(name).read_bytes(), is_named=True))


def _files_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix in _SUFFIXES and path.is_file():
            yield path


def _all(sources: Sequence[CheckedSource]) -> Iterator[tuple[str, Found]]:
    for source in sources:
        for found in source.checked.found:
            yield source.name, found


def render_text(sources: Sequence[CheckedSource]) -> str:
    """One line for each problem, `file:line:column: ...`, a paragraph for each file, a count."""
    paragraphs = []
    for source in sources:
        lines = [f"{source.name}: skipped, {reason}" for reason in source.checked.skipped]
        lines += [found.told_in(source.name) for found in source.checked.found]
        if lines:
            paragraphs.append("\n".join(lines))
    return "\n\n".join([*paragraphs, _count(sources)])


def render_json(sources: Sequence[CheckedSource]) -> str:
    """A list of all problems."""
    problems = [
        {
            "file": name,
            "line": found.place.line,
            "column": found.place.column,
            "path": found.problem.path,
            "message": found.problem.message,
            "severity": _severity(found),
        }
        for name, found in _all(sources)
    ]
    return json.dumps(problems, indent=2)


def render_github(sources: Sequence[CheckedSource]) -> str:
    """Workflow commands, which GitHub shows next to the lines of a pull request."""
    lines = [
        f"::{_severity(found)} file={_property(name)},line={found.place.line},"
        f"col={found.place.column},title={_property(found.problem.path or 'YAML')}"
        f"::{_data(found.sentence)}"
        for name, found in _all(sources)
    ]
    return "\n".join([*lines, _count(sources)])


def _severity(found: Found) -> str:
    return "warning" if found.problem.is_warning else "error"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _count(sources: Sequence[CheckedSource]) -> str:
    checked = sum(source.checked.checked for source in sources)
    warnings = sum(found.problem.is_warning for _, found in _all(sources))
    mistakes = sum(not found.problem.is_warning for _, found in _all(sources))
    return (
        f"{_number(checked, 'document', 'documents')} checked: "
        f"{_number(mistakes, 'mistake', 'mistakes')}, {_number(warnings, 'warning', 'warnings')}"
    )


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


_RENDERERS = {"text": render_text, "json": render_json, "github": render_github}
