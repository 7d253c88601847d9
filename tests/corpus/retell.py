# SPDX-License-Identifier: Apache-2.0
"""Writes the current messages into the headers of the corpus: `python -m corpus.retell` in tests/.

Use it after improving a message. Read the difference as the user of each file before keeping it: a
less helpful message is an error in the tables, not in the corpus.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from finetune_cli.files.file_check import check_file

HERE = Path(__file__).parent
_TOLD = re.compile(r"# (expect|warn): .*\n")


def retell(text: str) -> str:
    """The same file with the current messages; their number may change the lines they name."""
    lines = text.splitlines(keepends=True)
    head, body = lines[0], [line for line in lines[1:] if not _TOLD.fullmatch(line)]
    count = len(list(_tell(head + "".join(body))))
    sentences = list(_tell(head + "#\n" * count + "".join(body)))
    return head + "".join(sentences) + "".join(body)


def _tell(text: str) -> Iterator[str]:
    for found in check_file(text.encode(), is_named=True).found:
        kind = "warn" if found.problem.is_warning else "expect"
        place = "" if found.problem.path else f"line {found.place.line}: "
        yield f"# {kind}: {place}{found.sentence}\n"


if __name__ == "__main__":
    for path in sorted(HERE.glob("*/*.yaml")):
        path.write_text(retell(path.read_text()))
