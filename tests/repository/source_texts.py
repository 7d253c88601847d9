# SPDX-License-Identifier: Apache-2.0
"""The prose in a source, at its lines: strings, docstrings and comments.

Messages, conditions, remedies, notes, log events and narration are strings like any other, so every
string of two words or more counts. Patterns and code within strings do not.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from typing import Any

_WORD = re.compile(r"(?<![\w{-])[A-Za-z][a-z']+(?![\w-])")
_PLACEHOLDER = "{}"
_CODE = re.compile(r"\\[bdsSwW.(]|\(\?|\w\|\w|</|/>|^\s*\w+ = ")
"""A regular expression, markup, another program's configuration."""
_INLINE_CODE = re.compile(r"`[^`]*`|# noqa: [\w, ]+")
_COMMENT = re.compile(r"(?:^|\s)#+ (.*)")
_MARKUP = re.compile(r"\{#.*?#\}|\{%.*?%\}|<style>.*?</style>|<[^>]*>", re.DOTALL)


def is_prose(text: str) -> bool:
    return len(_WORD.findall(text)) > 1 and _CODE.search(text) is None


def of_python(source: str) -> str:
    """Docstrings and comments line by line; each other string at the line of its first quote."""
    lines = of_explanations(source).split("\n")
    for line, text in _strings(ast.parse(source)):
        if is_prose(text):
            lines[line - 1] = f"{' '.join(text.split())} | {lines[line - 1]}"
    return "\n".join(lines)


def of_explanations(source: str) -> str:
    """Docstrings and comments of Python code, line by line. The other strings of tests are data."""
    lines = [""] * (source.count("\n") + 1)
    for line, text in _docstrings(ast.parse(source)):
        for number, part in enumerate(_without_code(text).split("\n")):
            lines[line - 1 + number] += part
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] += _without_code(token.string)
    return "\n".join(lines)


def of_toml(source: str) -> str:
    """Comments, keys and values: the tables of suggestions have sentences as keys."""
    sentences = {text for text in _texts(tomllib.loads(source)) if is_prose(text)}
    return "\n".join(
        " | ".join([*(text for text in sentences if text in line), _comment(line)])
        for line in source.split("\n")
    )


def of_comments(source: str) -> str:
    """The comments of a file in which `#` begins one."""
    return "\n".join(map(_comment, source.split("\n")))


def of_template(source: str) -> str:
    """A page's text with the strings of its expressions; tags and statements are blanked."""
    return _MARKUP.sub(blank, source)


def blank(match: re.Match[str]) -> str:
    """Spaces in the place of what matches, on the same lines."""
    return blanked(match.group())


def blanked(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string that is a statement, so also those below the fields of a dataclass."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text


def _strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            if node not in skipped:
                yield node.lineno, "".join(_part(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.lineno, node.value


def _comment(line: str) -> str:
    found = _COMMENT.search(line)
    return _without_code(found[1]) if found else ""


def _without_code(text: str) -> str:
    """The text without inline code, which may continue on the next line."""
    return _INLINE_CODE.sub(blank, text)


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant) and isinstance(part.value, str):
        return part.value
    return _PLACEHOLDER


def _texts(table: Any) -> Iterator[str]:
    match table:
        case str():
            yield table
        case dict():
            for key, value in table.items():
                yield key
                yield from _texts(value)
        case list():
            for value in table:
                yield from _texts(value)
