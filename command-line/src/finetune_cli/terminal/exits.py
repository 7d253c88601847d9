# SPDX-License-Identifier: Apache-2.0
"""The exit codes of both commands, and the only place where an error becomes one."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from finetune_cli.terminal.output import Unread, tell
from finetune_contract.outcome import ExitCode
from finetune_trainer.failures.errors import AttemptFailed

KUBECTL_FAILED = 1
"""kubectl's own."""
MISUSED = 2
"""argparse's own."""
NO_INPUT = 66
"""sysexits' EX_NOINPUT, like the exit codes of the contract, which are also from there."""
LEFT = 130
"""A shell's own for Ctrl-C."""
UNREAD = 141
"""A shell's own for a closed pipe."""

MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        ExitCode.SUCCEEDED: "done",
        KUBECTL_FAILED: "kubectl or the API server rejected the request",
        MISUSED: "the command line is invalid",
        ExitCode.USER: "the job or the command must be changed",
        NO_INPUT: "a file or run cannot be found or read",
        ExitCode.INTERNAL: "any other error",
        ExitCode.INFRASTRUCTURE: "a store, network or node failed",
        ExitCode.OUT_OF_MEMORY: "out of GPU memory",
        ExitCode.PLATFORM: "the node must be changed",
        LEFT: "ended by Ctrl-C; a job in a cluster continues",
        UNREAD: "the output was closed, for example by head",
        ExitCode.INTERRUPTED: "stopped before the end",
    }
)

EPILOG = "exit codes:\n" + "\n".join(
    f"  {int(code):<4}{meaning}" for code, meaning in MEANINGS.items()
)


class Refused(Exception):
    """The command cannot do it; its user sees only the message."""

    def __init__(self, message: str, exit_code: int = ExitCode.USER) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)


def exit_code_of(command: Callable[[], int], *, left: str = "stopped") -> int:
    """Runs a command, and prints its error as one message on standard error.

    `left` is the message after Ctrl-C.
    """
    try:
        return int(command())
    except Refused as refused:
        return refuse(str(refused), refused.exit_code)
    except AttemptFailed as error:
        return refuse(str(error), ExitCode.of(error.failure.category))
    except Unread:
        return UNREAD
    except KeyboardInterrupt:
        return refuse(f"\n{left}", LEFT)


def refuse(message: str, exit_code: int) -> int:
    """Prints a message on standard error, and returns the exit code."""
    tell(message)
    return int(exit_code)
