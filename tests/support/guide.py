# SPDX-License-Identifier: Apache-2.0
"""The commands of a guide, as a reader finds them: the lines of its `sh` blocks."""

import re
from collections.abc import Iterable, Mapping


def blocks_of(text: str, *, without: Iterable[str]) -> list[str]:
    """The blocks, without the lines that begin with one of these words."""
    text = text.replace("\\\n", "")
    blocks = [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
    beginnings = tuple(without)
    kept = ["\n".join(line for line in it if not line.startswith(beginnings)) for it in blocks]
    return [block for block in kept if block]


def section_of(text: str, title: str) -> str:
    """The text below a heading of the second level, until the next one."""
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def with_credentials(keys: Mapping[str, str]) -> dict[str, str]:
    """What a guide leaves open -> what a reader with these credentials types."""
    return {f"{name}=...": f"{name}={value}" for name, value in keys.items()}


def typed(command: str, instead: Mapping[str, str]) -> str:
    """The command with each of these replacements."""
    for shown, replacement in instead.items():
        command = command.replace(shown, replacement)
    return command
