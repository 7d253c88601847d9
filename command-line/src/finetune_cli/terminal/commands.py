# SPDX-License-Identifier: Apache-2.0
"""The parsers of both commands. A subcommand's module is imported only when it is named."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from finetune_cli.terminal.exits import EPILOG, UNREAD
from finetune_cli.terminal.output import Unread, draw

DISTRIBUTION = "finetune-cli"

Command = Callable[[argparse.Namespace], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """A subcommand in a module that is named after it.

    The module has `DESCRIPTION`, `add_arguments` and a function of the subcommand's name.
    """

    name: str
    explanation: str
    room: str = "finetune_cli.local"

    def add_to(
        self,
        commands: Any,
        words: Sequence[str],
        parents: Sequence[argparse.ArgumentParser] = (),
    ) -> None:
        """Adds the subcommand; its arguments only if these words can name it."""
        if self.name not in words:
            commands.add_parser(self.name, help=self.explanation)
            return
        module = import_module(f"{self.room}.{self.name}")
        command = commands.add_parser(
            self.name,
            help=self.explanation,
            description=module.DESCRIPTION,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=parents,
        )
        module.add_arguments(command)
        command.set_defaults(command=getattr(module, self.name))


def new_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser with `--version` and a list of the exit codes."""
    parser = _Parser(
        prog=program,
        description=description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version of this program and exit"
    )
    return parser


class _Parser(argparse.ArgumentParser):
    """Prints help like all other output: its reader may close the pipe."""

    def _print_message(self, message: str, file: Any = None) -> None:
        try:
            draw(message, file or sys.stderr)
        except Unread:
            self.exit(UNREAD)


def version_text(program: str) -> str:
    """`finetune 0.1.0`, from the metadata of the installed package."""
    # It takes a fifth of the time of `--help`.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{program} {version(DISTRIBUTION)}"
    except PackageNotFoundError:
        return f"{program}, of unknown version: the package {DISTRIBUTION} is not installed"


class _Version(argparse.Action):
    """argparse's own action needs the version in advance."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser._print_message(f"{version_text(parser.prog)}\n", sys.stdout)
        parser.exit()
