# SPDX-License-Identifier: Apache-2.0
"""The one place where text leaves both commands: none of it gives a terminal orders."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, IncrementalNewlineDecoder
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TextIO

from finetune_contract.printable import indented, printable

_PART_BYTES = 64 * 1024


class Unread(BrokenPipeError):
    """The reader of what a command was asked for has gone, as `| head` does."""


def say(text: str, *, end: str = "\n") -> None:
    """Prints what a command was asked for, on standard output."""
    show(f"{text}{end}", sys.stdout)


def tell(text: str) -> None:
    """Prints what a person reads besides, on standard error."""
    show(f"{text}\n", sys.stderr)


def show(text: str, stream: TextIO) -> None:
    """Writes a text at once, with what a terminal does not show in a shape that it does."""
    draw(printable(text), stream)


def draw(picture: str, stream: TextIO) -> None:
    """Writes a text of our own making at once, with its colours."""
    encoding = stream.encoding or "utf-8"
    with while_read(stream):
        stream.write(picture.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


@contextmanager
def while_read(stream: IO[Any]) -> Iterator[None]:
    """Writes to a stream whose reader may go. Nothing that is written later, or still in our
    buffers, fails again. A command goes on without a reader of what it only tells.

    Raises:
        Unread: it was what the command was asked for.
    """
    try:
        yield
    except BrokenPipeError as gone:
        # What is no file has no descriptor.
        with suppress(OSError), Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
        if stream is not sys.stderr:
            raise Unread from gone


def show_unforeseen_errors_so() -> None:
    """A traceback quotes what could not be handled, which may be anybody's text too."""
    sys.excepthook = _tell_unforeseen


def _tell_unforeseen(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    # Late: it is seldom needed.
    import traceback

    tell(indented("".join(traceback.format_exception(kind, error, trace)).strip()))


def relay(source: BufferedReader, stream: TextIO) -> None:
    """Writes whatever another process prints, as soon as it comes, until it ends."""
    decoder = IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8")("replace"),
        # A line that is written over by the next one, as a bar is, is a line of its own here.
        translate=True,
    )
    while part := source.read1(_PART_BYTES):
        show(decoder.decode(part), stream)
    show(decoder.decode(b"", final=True), stream)
