# SPDX-License-Identifier: Apache-2.0
"""The generated parts of a page, between two comments."""

import re
from collections.abc import Callable, Iterable

_BLOCK = re.compile(r"(<!-- (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_blocks(page: str, lines_of: Callable[[str], Iterable[str]]) -> str:
    """The page with the lines of each block, which its first comment names."""

    def made(block: re.Match[str]) -> str:
        lines = "".join(f"{line}\n" for line in lines_of(block[2]))
        return f"{block[1]}{lines}{block[3]}"

    return _BLOCK.sub(made, page)
