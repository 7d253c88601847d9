# SPDX-License-Identifier: Apache-2.0
"""`finetune`: a job file checked, or trained on this machine, without a cluster."""

import argparse
import os
import sys
from functools import partial
from typing import NoReturn

from finetune_cli.terminal.commands import Command, Deferred, new_parser
from finetune_cli.terminal.exits import exit_code_of
from finetune_cli.terminal.output import show_unforeseen_errors_so

DESCRIPTION = """\
Fine-tunes a language model from a FineTuneJob file: the file that `kubectl apply` takes.
"""

COMMANDS = (
    Deferred(name="run", explanation="train a job file on this machine, without a cluster"),
    Deferred(name="validate", explanation="say what is wrong with job files, and in which line"),
    Deferred(name="plan", explanation="say what a job would do, and how much GPU memory it needs"),
    Deferred(name="download", explanation="fetch what a run has published, and check it"),
)


def console() -> NoReturn:
    """What `finetune` starts."""
    options = _parse(sys.argv[1:])
    start(options.command, options)


def start(command: Command, options: argparse.Namespace) -> NoReturn:
    """Runs a command as the last thing that this process does; it prints no secret."""
    # Late, like all that `--help` does not need.
    from finetune_trainer.failures.redaction import hide_in_output
    from finetune_trainer.failures.stopping import end_process

    hide_in_output(os.environ)
    show_unforeseen_errors_so()
    end_process(exit_code_of(partial(command, options)))


def main(arguments: list[str]) -> int:
    """Runs a command, and gives its exit code."""
    options = _parse(arguments)
    return exit_code_of(partial(options.command, options))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser("finetune", DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands, arguments)
    return parser.parse_args(arguments)
