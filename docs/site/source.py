# SPDX-License-Identifier: Apache-2.0
"""The source of the site: the documents, and a page for each file of the repository they link to.

    python docs/site/source.py FOLDER

The documents are written for a clone, where a link may lead to an example, a chart or CHANGELOG.md.
The site shows Markdown as it is, other files as code, and a directory as a list of its files. The
standard library is enough, so that `make docs` needs nothing but the site's own requirements.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
DOCS = PurePosixPath("docs")
SITE = DOCS / "site"
COPIES = DOCS / "repository"
"""The part of the site with files from outside of docs/."""

LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
NOT_SEARCHED = (DOCS / "contributing" / "proofs.md",)
"""Has the words of all other pages; so have the copies."""

_LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
_UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


def write(folder: Path) -> None:
    """Writes the source of the site: a configuration, and the pages below docs/."""
    shutil.rmtree(folder, ignore_errors=True)
    files = tracked_files()
    for path in files:
        if path.is_relative_to(DOCS) and path.suffix not in (".md", ".py", ".yml"):
            _write(folder / path, (ROOT / path).read_bytes())
    for place, text in pages(files).items():
        _write(folder / place, text.encode())
    _write(folder / "mkdocs.yml", configuration(files).encode())


def pages(files: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Every page of the site, by its place."""
    documents = {path: path for path in files if _is_document(path)}
    shown = documents | _copies_for(documents)
    return {
        place: f"{_front_matter(place)}{with_links_of_the_site(page_of(path), _base(path))}"
        for place, path in shown.items()
    }


def configuration(files: Iterable[PurePosixPath]) -> str:
    """The generator's, whose navigation is completed with the decisions."""
    decisions = [DOCS / "decisions" / "index.md"]
    decisions += sorted(path for path in files if path.match("docs/decisions/[0-9]*.md"))
    lines = "".join(f"          - {path.relative_to(DOCS)}\n" for path in decisions)
    text = (ROOT / SITE / "mkdocs.yml").read_text()
    return f"{text.rstrip()}\n      - Decisions:\n{lines}"


def with_links_of_the_site(text: str, page: PurePosixPath) -> str:
    """The page with the links that lead to or come from a copy as the site has them."""

    def rewritten(link: re.Match[str]) -> str:
        target = _target(link.group(), page)
        if target is None or (_is_document(target) and _is_document(page)):
            return link.group()
        _, mark, anchor = link.group().partition("#")
        return f"{os.path.relpath(place_of(target), place_of(page).parent)}{mark}{anchor}"

    return _LINK.sub(rewritten, text)


def place_of(path: PurePosixPath) -> PurePosixPath:
    """Where the site has a file or directory of the repository."""
    if (ROOT / path).is_dir():
        readme = path / "README.md"
        path = readme if (ROOT / readme).exists() else path / "index.md"
    if path.is_relative_to(DOCS):
        return path
    # The site leaves out what is hidden.
    shown = PurePosixPath(*(part.removeprefix(".") for part in path.parts))
    return COPIES / (shown if shown.suffix == ".md" else f"{shown}.md")


def page_of(path: PurePosixPath) -> str:
    """The Markdown that shows a file or directory of the repository."""
    file = ROOT / path
    if file.is_dir():
        if (file / "README.md").exists():
            return (file / "README.md").read_text()
        children = sorted(child for child in file.iterdir() if child.name != "__pycache__")
        lines = "".join(f"- [{_name_of(child)}]({child.name})\n" for child in children)
        return f"# {path.name.capitalize() if path.is_relative_to(DOCS) else path}\n\n{lines}"
    if path.suffix == ".md":
        return file.read_text()
    return f"# {path}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{file.read_text()}````\n"


def tracked_files() -> list[PurePosixPath]:
    """The repository's, without what git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [PurePosixPath(name) for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _copies_for(documents: Iterable[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """Place -> file, for all that documents link to, and what that links to."""
    copies: dict[PurePosixPath, PurePosixPath] = {}
    waiting = [target for document in documents for target in _outside(document)]
    while waiting:
        path = waiting.pop()
        if place_of(path) not in copies and (ROOT / path).exists():
            copies[place_of(path)] = path
            waiting += _outside(path)
    return copies


def _outside(path: PurePosixPath) -> list[PurePosixPath]:
    """The files and directories beyond docs/ that a page links to."""
    if path.suffix and path.suffix != ".md":
        return []
    targets = (_target(link.group(), _base(path)) for link in _LINK.finditer(page_of(path)))
    return [
        each
        for each in targets
        if each and (not each.is_relative_to(DOCS) or (ROOT / each).is_dir())
    ]


def _target(link: str, page: PurePosixPath) -> PurePosixPath | None:
    """The path in the repository that a page's link leads to."""
    path = link.partition("#")[0]
    if not path or re.match(r"[a-z]+:", path):
        return None
    return PurePosixPath(os.path.normpath(page.parent / path))


def _base(path: PurePosixPath) -> PurePosixPath:
    """The file that a page's links are relative to."""
    return path / "README.md" if (ROOT / path).is_dir() else path


def _is_document(path: PurePosixPath) -> bool:
    return path.is_relative_to(DOCS) and path.suffix == ".md"


def _name_of(file: Path) -> str:
    """A document's title, and the name of any other file."""
    if file.suffix != ".md":
        return file.name
    return file.read_text().partition("\n")[0].removeprefix("# ")


def _front_matter(place: PurePosixPath) -> str:
    is_left_out = place in NOT_SEARCHED or (
        place.is_relative_to(COPIES) and len(place.suffixes) > 1
    )
    return _UNSEARCHED if is_left_out else ""


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
