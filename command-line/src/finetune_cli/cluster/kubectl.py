# SPDX-License-Identifier: Apache-2.0
"""Sends requests through the kubectl that has started this plugin: its context, its credentials."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from io import BufferedReader
from threading import Thread
from typing import IO, Any, TextIO, cast

from finetune_cli.terminal.exits import KUBECTL_FAILED, Refused
from finetune_cli.terminal.output import Unread, relay
from finetune_contract.shallow import parse_json

Body = Mapping[str, Any]

JOBS = "finetunejobs.finetune.dev"
"""kubectl's unambiguous name for them."""

_LAST_WORDS_SECONDS = 2.0

_LOG_LINE = re.compile(r"[IWEF]\d{4} ")
"""Log lines of kubectl's libraries, in addition to its own messages."""


class Kubectl:
    """Runs kubectl with the options that select cluster and namespace."""

    def __init__(self, options: Sequence[str], program: str | None = None) -> None:
        self._command = [program or os.environ.get("KUBECTL", "kubectl"), *options]

    def run(self, *words: str, given: str | None = None) -> str:
        """Its output for this standard input.

        Raises:
            Refused: it failed.
        """
        try:
            done = subprocess.run(
                [*self._command, *words],
                input=given,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
        except (FileNotFoundError, ValueError) as error:
            raise _not_started(error) from None
        if done.returncode:
            raise Refused(_words_of(done.stderr) or done.stdout.strip(), KUBECTL_FAILED)
        return done.stdout

    def get(self, kind: str, *words: str) -> Body:
        """One object, or a list of them."""
        found: Body = parse_json(self.run("get", kind, *words, "-o", "json").encode())
        return found

    def job(self, name: str) -> Body:
        return self.get(JOBS, name)

    def follow(self, name: str) -> Iterator[Body]:
        """The current job, and each later version; ends when the API server ends the watch."""
        words = ("get", JOBS, name, "--watch", "-o", "json")
        process = subprocess.Popen(
            [*self._command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
        )
        try:
            if process.stdout is not None:
                with closing(process.stdout) as printed:
                    yield from read_documents(printed)
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def reading(self, *words: str) -> Iterator[IO[bytes]]:
        """Its output, byte for byte; its messages are shown to the user.

        Raises:
            Refused: it failed; raised after all was read.
        """
        with self._running(*words) as process:
            if process.stdout is not None:
                with process.stdout as printed:
                    yield printed
            if code := process.wait():
                raise Refused(f"kubectl {words[0]} ended with exit code {code}", KUBECTL_FAILED)

    def pass_through(self, *words: str) -> int:
        """Shows its output unchanged, including warnings and errors; returns its exit code.

        Raises:
            Refused: there is no kubectl.
        """
        with self._running(*words) as process:
            _relay(process.stdout, sys.stdout)
            return process.wait()

    @contextmanager
    def _running(self, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
        """It is killed at the end, if it still runs. Its standard error is shown immediately.

        Raises:
            Refused: there is no kubectl.
        """
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen([*self._command, *words], stdout=pipe, stderr=pipe)
        except (FileNotFoundError, ValueError) as error:
            raise _not_started(error) from None
        listener = Thread(target=_relay, args=(process.stderr, sys.stderr), daemon=True)
        listener.start()
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            # A program that it has started may keep the other end open for longer.
            listener.join(_LAST_WORDS_SECONDS)


def _not_started(error: FileNotFoundError | ValueError) -> Refused:
    if isinstance(error, FileNotFoundError):
        return Refused("there is no kubectl on the PATH", KUBECTL_FAILED)
    # A status was edited by hand: a null byte, half of a surrogate pair.
    return Refused(
        f"the job contains a value that a command line cannot contain: {error}", KUBECTL_FAILED
    )


def _relay(source: IO[bytes] | None, stream: TextIO) -> None:
    """Until it ends, or its reader has ended: `| head`."""
    with closing(cast("BufferedReader", source)) as printed, suppress(Unread):
        relay(printed, stream)


def _words_of(printed: str) -> str:
    said = [line for line in printed.splitlines() if not _LOG_LINE.match(line)]
    return "\n".join(said).strip()


def read_documents(stream: IO[str]) -> Iterator[Body]:
    """Each JSON document in a stream of several, as soon as its last line has arrived."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        # kubectl indents nested lines.
        if line.startswith("}"):
            document: Body = parse_json("".join(lines).encode())
            lines.clear()
            yield document
