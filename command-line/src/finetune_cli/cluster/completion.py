# SPDX-License-Identifier: Apache-2.0
"""Completion for kubectl when Tab is pressed: the possible next words, then a directive."""

import sys
from collections.abc import Callable, Sequence

from finetune_cli.cluster.command_line import COMMANDS, PLAN
from finetune_cli.cluster.kubectl import JOBS, Kubectl
from finetune_cli.terminal.exits import Refused
from finetune_cli.terminal.output import say

FILES, NO_FILES = ":0", ":4"
"""cobra's directives: whether the shell may continue with names of files."""

OF_FILES = ("run", "validate", "plan")

OF_CLUSTER = ("-n", "--namespace", "--context", "--kubeconfig")
"""Options with a value that select the cluster and namespace of the names."""


def main() -> None:
    say("\n".join(complete(sys.argv[1:], Kubectl)))


def complete(words: Sequence[str], connect: Callable[[Sequence[str]], Kubectl]) -> list[str]:
    """The last word is incomplete, and may be empty."""
    *before, last = words or [""]
    where, given = _split(before)
    if not given:
        return [*(name for name in (*COMMANDS, PLAN.name) if name.startswith(last)), NO_FILES]
    if given[0] in OF_FILES:
        return [FILES]
    try:
        listed = connect(where).run("get", JOBS, "-o", "name")
    except Refused:
        return [NO_FILES]
    names = (line.partition("/")[2] for line in listed.splitlines())
    return [*(name for name in names if name.startswith(last)), NO_FILES]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options that select the cluster, and the words that are not options."""
    where: list[str] = []
    given: list[str] = []
    for word in words:
        is_value = bool(where) and where[-1] in OF_CLUSTER
        if is_value or word.startswith(OF_CLUSTER):
            where.append(word)
        elif not word.startswith("-"):
            given.append(word)
    return where, given
