# SPDX-License-Identifier: Apache-2.0
"""The only place where both commands print: no text can contain terminal escapes."""

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
    """The reader of the command's main output has closed the pipe, as `| head` does."""


def say(text: str, *, end: str = "\n") -> None:
    """Prints the command's main output, on standard output."""
    show(f"{text}{end}", sys.stdout)


def tell(text: str) -> None:
    """Prints additional messages, on standard error."""
    show(f"{text}\n", sys.stderr)


def show(text: str, stream: TextIO) -> None:
    """Writes a text immediately, with unprintable characters made visible."""
    draw(printable(text), stream)


def draw(picture: str, stream: TextIO) -> None:
    """Writes a text of our own immediately, with its colours."""
    encoding = stream.encoding or "utf-8"
    with while_read(stream):
        stream.write(picture.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


@contextmanager
def while_read(stream: IO[Any]) -> Iterator[None]:
    """Writes to a stream whose reader may close the pipe. Later writes, and our buffers, do not
    fail again. A command continues without a reader of its additional messages.

    Raises:
        Unread: it was the command's main output.
    """
    try:
        yield
    except BrokenPipeError as gone:
        # Streams that are not files have no descriptor.
        with suppress(OSError), Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
        if stream is not sys.stderr:
            raise Unread from gone


def show_unforeseen_errors_so() -> None:
    """A traceback quotes unexpected errors, which may contain untrusted text too."""
    sys.excepthook = _tell_unforeseen


def _tell_unforeseen(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    # Imported late: it is rarely needed.
    import traceback

    tell(indented("".join(traceback.format_exception(kind, error, trace)).strip()))


def relay(source: BufferedReader, stream: TextIO) -> None:
    """Writes the output of another process as soon as it arrives, until it ends."""
    decoder = IncrementalNewlineDecoder(
        codecs.getincrementaldecoder("utf-8")("replace"),
        # A line that the next one overwrites, such as a bar, is a separate line here.
        translate=True,
    )
    while part := source.read1(_PART_BYTES):
        show(decoder.decode(part), stream)
    show(decoder.decode(b"", final=True), stream)
