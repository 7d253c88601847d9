# SPDX-License-Identifier: Apache-2.0
"""`finetune`: checks a job file, or trains it on this machine, without a cluster."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from finetune_cli.terminal.commands import Command, Deferred, new_parser
from finetune_cli.terminal.exits import exit_code_of
from finetune_cli.terminal.output import show_unforeseen_errors_so

DESCRIPTION = """\
Fine-tunes a language model from a FineTuneJob file, the same file that `kubectl apply` reads.
"""

COMMANDS = (
    Deferred(name="run", explanation="train a job file on this machine, without a cluster"),
    Deferred(name="validate", explanation="report errors in job files, with line numbers"),
    Deferred(name="plan", explanation="show what a job would do, and how much GPU memory it needs"),
    Deferred(name="download", explanation="download the results of a run, and verify them"),
)


def console() -> NoReturn:
    """The entry point of `finetune`."""
    options = parser_of(sys.argv[1:]).parse_args(sys.argv[1:])
    start(options.command, options)


def start(command: Command, options: argparse.Namespace) -> NoReturn:
    """Runs a command as the last action of this process; it prints no secret."""
    # Imported late, like everything that `--help` does not need.
    from finetune_trainer.failures.redaction import hide_in_output
    from finetune_trainer.failures.stopping import end_process
    from finetune_trainer.storage import variables

    variables.trim(os.environ)
    hide_in_output(os.environ)
    show_unforeseen_errors_so()
    end_process(exit_code_of(partial(command, options)))


def main(arguments: list[str]) -> int:
    """Runs a command, and returns its exit code."""
    options = parser_of(arguments).parse_args(arguments)
    return exit_code_of(partial(options.command, options))


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line of these words."""
    parser = new_parser("finetune", DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands, words)
    return parser
