# SPDX-License-Identifier: Apache-2.0
"""Asks the cluster, by the kubectl that has started this plugin: its context, its credentials."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import IO, Any

from finetune_cli.terminal.exits import KUBECTL_FAILED, Refused
from finetune_contract.shallow import parse_json

Body = Mapping[str, Any]

JOBS = "finetunejobs.finetune.dev"
"""As kubectl calls them, whatever else is named so."""

_LOG_LINE = re.compile(r"[IWEF]\d{4} ")
"""What kubectl's libraries log beside what it says itself."""


class Kubectl:
    """With the options that say which cluster and namespace are meant."""

    def __init__(self, options: Sequence[str], program: str | None = None) -> None:
        self._command = [program or os.environ.get("KUBECTL", "kubectl"), *options]

    def run(self, *words: str, given: str | None = None) -> str:
        """What it prints, told this on its standard input.

        Raises:
            Refused: it failed.
        """
        try:
            done = subprocess.run(
                [*self._command, *words], input=given, capture_output=True, text=True
            )
        except FileNotFoundError:
            raise Refused("there is no kubectl on the PATH", KUBECTL_FAILED) from None
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
        """The job as it is, and whenever it changes; ends when the API server ends the watch."""
        words = ("get", JOBS, name, "--watch", "-o", "json")
        process = subprocess.Popen(
            [*self._command, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
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
        """What it prints, byte for byte; what it says beside is said to the user.

        Raises:
            Refused: it failed, when all was read.
        """
        process = subprocess.Popen([*self._command, *words], stdout=subprocess.PIPE)
        try:
            if process.stdout is not None:
                with process.stdout as printed:
                    yield printed
            if code := process.wait():
                raise Refused(f"kubectl {words[0]} ended with exit code {code}", KUBECTL_FAILED)
        finally:
            process.kill()
            process.wait()

    def pass_through(self, *words: str) -> int:
        """Lets it speak for itself, warnings and refusals too; gives its exit code.

        Raises:
            Refused: there is no kubectl.
        """
        try:
            return subprocess.run([*self._command, *words]).returncode
        except FileNotFoundError:
            raise Refused("there is no kubectl on the PATH", KUBECTL_FAILED) from None


def _words_of(printed: str) -> str:
    said = [line for line in printed.splitlines() if not _LOG_LINE.match(line)]
    return "\n".join(said).strip()


def read_documents(stream: IO[str]) -> Iterator[Body]:
    """Each JSON document of a stream of several, as soon as its last line has come."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        # kubectl indents what lies inside.
        if line.startswith("}"):
            document: Body = parse_json("".join(lines).encode())
            lines.clear()
            yield document
