# SPDX-License-Identifier: Apache-2.0
"""Makes an untrusted text safe for a terminal or a log. No I/O here.

The author of a config, a row of data or a termination message can write any character: escape
sequences (ESC, and the 8-bit CSI and OSC), overrides of text direction, unpaired surrogates.
"""


def printable(text: str) -> str:
    """The text with a space for each unprintable character; its lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() or it in "\n\t" else " " for it in text)


def on_one_line(text: str) -> str:
    """The same for a part of a line: it cannot begin another line."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else " " for it in text)


def indented(text: str) -> str:
    """The same for a text with lines: all but the first are indented."""
    return printable(text).replace("\n", "\n    ")
