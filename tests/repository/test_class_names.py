# SPDX-License-Identifier: Apache-2.0
"""A class name has one meaning, in all packages."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = "*/src/*/"

SAME_THING = {
    "OneLine": "the log lines of two images, of which neither installs the other's package",
}
"""Class -> why it may be defined twice."""


def class_names(source: str) -> Iterator[tuple[str, str]]:
    """Public classes and type aliases of a module, each with its identity.

    Aliases with equal text are identical; each class is unique.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, f"class at line {node.lineno}"
        elif isinstance(node, ast.Assign) and (name := _alias(node)):
            yield name, ast.unparse(node.value)


def _alias(node: ast.Assign) -> str | None:
    """The assigned public CamelCase name, if it is one; a type variable belongs to its module."""
    target = node.targets[0]
    if not isinstance(target, ast.Name) or "TypeVar(" in ast.unparse(node.value):
        return None
    is_class_like = target.id[0].isupper() and not target.id.isupper()
    return target.id if is_class_like else None


def defined_twice(sources: dict[str, str]) -> dict[str, list[str]]:
    """Name -> the modules that give it different meanings."""
    meanings: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, source in sources.items():
        for name, meaning in class_names(source):
            is_class = meaning.startswith("class at")
            meanings[name][f"{path}: {meaning}" if is_class else meaning].append(path)
    return {
        name: sorted(path for paths in different.values() for path in paths)
        for name, different in sorted(meanings.items())
        if len(different) > 1
    }


def product_sources() -> dict[str, str]:
    found = {
        str(path.relative_to(ROOT)): path.read_text()
        for package in ROOT.glob(PACKAGES)
        for path in package.rglob("*.py")
    }
    assert len({Path(path).parts[0] for path in found}) > 5, "no packages: the layout has changed"
    return found


def test_no_class_name_is_used_for_two_things() -> None:
    twice = defined_twice(product_sources())
    assert {name: paths for name, paths in twice.items() if name not in SAME_THING} == {}


def test_every_exception_is_still_needed() -> None:
    assert set(SAME_THING) <= set(defined_twice(product_sources()))


@pytest.mark.parametrize(
    ("one", "other", "is_twice"),
    [
        pytest.param("class A: ...", "class A: ...", True, id="two classes"),
        pytest.param("class Abc: ...", "Abc = dict[str, int]", True, id="a class and an alias"),
        pytest.param("Abc = dict[str, int]", "Abc = list[int]", True, id="two aliases"),
        pytest.param("Abc = list[int]", "Abc = list[int]", False, id="one alias, written twice"),
        pytest.param("class _A: ...", "class _A: ...", False, id="private classes"),
        pytest.param('Abc = TypeVar("Abc")', "Abc = list[int]", False, id="a type variable"),
        pytest.param("ABC = 1", "ABC = 2", False, id="constants"),
        pytest.param("class A: ...", "class B: ...", False, id="two names"),
    ],
)
def test_two_definitions_of_one_name_are_distinguished_from_one(
    one: str, other: str, is_twice: bool
) -> None:
    assert bool(defined_twice({"one.py": one, "other.py": other})) is is_twice


def test_two_classes_of_one_package_with_one_name_are_found() -> None:
    found = defined_twice({"p/a.py": "class A: ...", "p/b.py": "class A: ..."})
    assert found == {"A": ["p/a.py", "p/b.py"]}
