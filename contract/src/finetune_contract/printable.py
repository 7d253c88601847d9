# SPDX-License-Identifier: Apache-2.0
"""How a text of the other side's is shown in a terminal or a log. No I/O here.

Whoever writes a config, a row of data or a termination log writes any character: escape sequences
(ESC, and the 8-bit CSI and OSC), overrides of the direction of text, surrogates without a partner.
"""


def printable(text: str) -> str:
    """The text with a space for each character that does not print; its lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() or it in "\n\t" else " " for it in text)


def on_one_line(text: str) -> str:
    """The same for what is a part of a line: nothing in it begins another."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else " " for it in text)


def indented(text: str) -> str:
    """The same for what may have lines: none of them but the first begins where ours begin."""
    return printable(text).replace("\n", "\n    ")
