# SPDX-License-Identifier: Apache-2.0
"""What a source shows to people: its strings that are prose, each at the line where it begins.

Messages, conditions, remedies, notes, log events and narration are strings like any other, so every
string of two words or more counts. Docstrings, patterns and code within strings do not.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import Any

_WORD = re.compile(r"(?<![\w{-])[A-Za-z][a-z']+(?![\w-])")
_PLACEHOLDER = "{}"
_CODE = re.compile(r"\\[bdsSwW.(]|\(\?|\w\|\w|</|/>|^\s*\w+ = ")
"""A regular expression, markup, another program's configuration."""
_MARKUP = re.compile(r"\{#.*?#\}|\{%.*?%\}|<style>.*?</style>|<[^>]*>", re.DOTALL)


def is_prose(text: str) -> bool:
    return len(_WORD.findall(text)) > 1 and _CODE.search(text) is None


def of_python(source: str) -> str:
    """The strings, each as one line at the line of its first quote; placeholders are blanked."""
    lines = [""] * (source.count("\n") + 1)
    for line, text in _strings(ast.parse(source)):
        if is_prose(text):
            lines[line - 1] += f"{' '.join(text.split())} | "
    return "\n".join(lines)


def of_toml(source: str) -> str:
    """Keys and values: the tables of suggestions have sentences as keys."""
    sentences = {text for text in _texts(tomllib.loads(source)) if is_prose(text)}
    return "\n".join(
        " | ".join(text for text in sentences if text in line) for line in source.split("\n")
    )


def of_template(source: str) -> str:
    """A page's text with the strings of its expressions; tags and statements are blanked."""
    return _MARKUP.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


def _strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        # A string that is a statement is a docstring.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
            if node not in skipped:
                yield node.lineno, "".join(_part(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.lineno, node.value


def _part(part: ast.expr) -> str:
    is_text = isinstance(part, ast.Constant) and isinstance(part.value, str)
    return part.value if is_text else _PLACEHOLDER


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
