# SPDX-License-Identifier: Apache-2.0
"""Explains YAML's syntax errors with the text to type instead. No I/O here."""

import re

import yaml

_NO_SPACE = re.compile(r"\s*(- +)?([A-Za-z_][A-Za-z_0-9]*):[^\s:/]")
_EQUALS = re.compile(r"\s*(- +)?([A-Za-z_][A-Za-z_0-9]*) *=")
_CONFLICT = re.compile(r"(<<<<<<<|=======|>>>>>>>)( |$)")

_REMEDIES = {
    "mapping values are not allowed in this context": (
        "found a colon where no key is allowed: indent the line like its neighbours, or put a "
        'value that contains ": " in quotes'
    ),
    "block sequence entries are not allowed in this context": (
        "found a list after a key in the same line: begin its first - on a new line"
    ),
    "did not find expected key": (
        "found text that is not a key of this mapping: check for wrong indentation, or for a "
        "value that begins or ends with a quote"
    ),
    "did not find expected '-' indicator": (
        "found a key at the indentation of a list: indent the list more, or the key less"
    ),
    "could not find expected ':'": 'found a line without a colon, expected "key: value"',
    "found unknown escape character": (
        "found a backslash in double quotes: write it twice, or use single quotes"
    ),
    "did not find expected node content": "found nothing where a value was expected",
    "did not find expected <document start>": (
        "found text after the end of the document: check for an extra bracket"
    ),
}


def explain(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int, int]:
    """A sentence, and the line and column that it is about."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines() or [""]
    problem, context = str(error.problem or ""), error.context_mark
    if habit := _habit_near(lines, line):
        return habit[1], habit[0], 1
    if problem == "found character that cannot start any token":
        return _about_character(lines, line, column), line, column
    if problem == "found unexpected end of stream" and context is not None:
        return "found a quote that is never closed", context.line + 1, context.column + 1
    if problem.startswith("did not find expected ',' or ") and context is not None:
        bracket = "[" if problem.endswith("']'") else "{"
        message = f"found {bracket} without its end: close it, and put commas between its values"
        return message, context.line + 1, context.column + 1
    if problem == "could not find expected ':'" and context is not None:
        return _REMEDIES[problem], context.line + 1, context.column + 1
    return _REMEDIES.get(problem, f"not YAML: {problem}"), min(line, len(lines)), column


def _about_character(lines: list[str], line: int, column: int) -> str:
    found = lines[line - 1][column - 1 : column] if line <= len(lines) else ""
    if found == "\t":
        return "found a tab, expected spaces: YAML does not allow tabs as indentation"
    return f"found {found} at the beginning of a value: put the value in quotes"


def explain_key(text: str, line: int) -> str:
    """The message about a key that is not a string."""
    if "{{" in text.splitlines()[line - 1]:
        return "found {{, a template: fill it in first"
    return "found a list or a mapping as a key, expected a string: put it in quotes"


def _habit_near(lines: list[str], line: int) -> tuple[int, str] | None:
    """The line and the message, if another notation explains why YAML failed.

    YAML reads such a line as a text that continues below, and fails one line too late.
    """
    for place in (line, line - 1):
        said = _habit_in(lines[place - 1]) if 0 < place <= len(lines) else ""
        if said:
            return place, said
    return None


def _habit_in(line: str) -> str:
    if _CONFLICT.match(line):
        return "found a merge conflict marker: resolve it first"
    if key := _NO_SPACE.match(line):
        return f'found no space after the colon of {key[2]}, expected "{key[2]}: value"'
    if key := _EQUALS.match(line):
        return f'found = after {key[2]}, expected "{key[2]}: value"'
    return ""
