# SPDX-License-Identifier: Apache-2.0
"""Users' expressions for the names of modules, matched in bounded time. No I/O here.

`re` tries every way in which an expression may match: `(a+)+b` can take it years, and would block
the operator. Here an expression becomes an automaton, which reads each character once. It supports
the usual parts of such expressions: characters, `.`, sets, groups, `|`, and repetitions of them.
Other parts (lookarounds, references, flags) are not supported here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

MAX_STATES = 400
"""The states of an automaton, with repetitions expanded."""

MAX_SETS = 300
"""Sets of states that all matches together may visit."""

MAX_DEPTH = 20
"""Depth of nested groups."""

Accepts = Callable[[str], bool]

_CLASSES: dict[str, Accepts] = {
    "d": str.isdecimal,
    "D": lambda c: not c.isdecimal(),
    "w": lambda c: c.isalnum() or c == "_",
    "W": lambda c: not (c.isalnum() or c == "_"),
    "s": str.isspace,
    "S": lambda c: not c.isspace(),
}


def _is_no_line_end(character: str) -> bool:
    return character != "\n"


class UnknownPattern(Exception):
    """It contains unsupported parts, or exceeds the limits."""


@dataclass(slots=True)
class Automaton:
    """Numbered states: their transitions by a character, and without one. 0 is the first."""

    steps: list[tuple[Accepts, int] | None] = field(default_factory=list)
    jumps: list[list[int]] = field(default_factory=list)
    end: int = 0
    known: dict[tuple[frozenset[int], str], frozenset[int]] = field(default_factory=dict)
    words: dict[tuple[frozenset[int], str], frozenset[int]] = field(default_factory=dict)

    def add(self) -> int:
        if len(self.steps) >= MAX_STATES:
            raise UnknownPattern
        self.steps.append(None)
        self.jumps.append([])
        return len(self.steps) - 1

    def matches(self, text: str) -> bool:
        """
        Raises:
            UnknownPattern: it exceeds the limits.
        """
        return self.end in self.after(self.begin(), text)

    def begin(self) -> frozenset[int]:
        return self._reach({0})

    def after(self, now: frozenset[int], text: str) -> frozenset[int]:
        """The states after a text; names share words, and each is read once.

        Raises:
            UnknownPattern: it exceeds the limits.
        """
        at = now
        if (found := self.words.get((now, text))) is not None:
            return found
        for character in text:
            following = self.known.get((at, character))
            at = self._follow(at, character) if following is None else following
        self.words[now, text] = at
        return at

    def _follow(self, now: frozenset[int], character: str) -> frozenset[int]:
        if len(self.known) >= MAX_SETS:
            raise UnknownPattern
        steps = (self.steps[state] for state in now)
        found = self._reach({step[1] for step in steps if step is not None and step[0](character)})
        self.known[now, character] = found
        return found

    def _reach(self, states: set[int]) -> frozenset[int]:
        waiting = list(states)
        while waiting:
            for state in self.jumps[waiting.pop()]:
                if state not in states:
                    states.add(state)
                    waiting.append(state)
        return frozenset(states)


def read_pattern(text: str) -> Automaton:
    """
    Raises:
        UnknownPattern: it contains unsupported parts.
    """
    reader = _Reader(text.removeprefix("^").removesuffix("$") if text[-2:] != "\\$" else text)
    automaton = reader.automaton
    begin = automaton.add()
    automaton.end = reader.read_choice(begin, 0)
    if reader.place < len(reader.text):
        raise UnknownPattern
    return automaton


class _Reader:
    """Each `read_*` method builds from a start state and returns the end state."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.automaton = Automaton()

    def read_choice(self, begin: int, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise UnknownPattern
        end = self.automaton.add()
        while True:
            branch = self.automaton.add()
            self.automaton.jumps[begin].append(branch)
            self.automaton.jumps[self._read_row(branch, depth)].append(end)
            if self._peek() != "|":
                return end
            self.place += 1

    def _read_row(self, begin: int, depth: int) -> int:
        while self._peek() not in ("", "|", ")"):
            begin = self._read_repeated(begin, depth)
        return begin

    def _read_repeated(self, begin: int, depth: int) -> int:
        start, jumps = self.place, self.automaton.jumps
        end = self._read_one(begin, depth)
        low, high = self._read_count()
        behind = self.place
        ends = [end]
        for _ in range(1, max(low, 1) if high is None else high):
            self.place = start
            ends.append(self._read_one(ends[-1], depth))
        self.place = behind
        last = self.automaton.add()
        # Optional parts are skipped; repeated parts go back before their last repetition.
        for done in [begin, *ends][low:]:
            jumps[done].append(last)
        if high is None:
            jumps[ends[-1]].append(ends[-2] if len(ends) > 1 else begin)
        return last

    def _read_count(self) -> tuple[int, int | None]:
        sign = self._peek()
        counts: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if sign in counts:
            self.place += 1
            low_high = counts[sign]
        elif sign == "{":
            low_high = self._read_braces()
        else:
            return 1, 1
        if self._peek() == "?":
            self.place += 1  # Lazy repetition: the same texts match.
        if self._peek() in ("*", "+", "?", "{"):
            raise UnknownPattern
        return low_high

    def _read_braces(self) -> tuple[int, int | None]:
        inside, closing, _ = self.text[self.place + 1 : self.place + 12].partition("}")
        low, comma, high = inside.partition(",")
        if not closing or not low.isdecimal() or not (high or "0").isdecimal():
            raise UnknownPattern
        self.place += len(inside) + 2
        most = int(high) if high else (None if comma else int(low))
        if int(low) > MAX_STATES or (most is not None and not 1 <= most <= MAX_STATES):
            raise UnknownPattern
        return int(low), most

    def _read_one(self, begin: int, depth: int) -> int:
        sign = self._peek()
        self.place += 1
        if sign == "(":
            return self._read_group(begin, depth)
        if sign in "*+?{}^$])":
            raise UnknownPattern
        accepts: Accepts = sign.__eq__
        if sign == ".":
            accepts = _is_no_line_end
        elif sign == "[":
            accepts = self._read_set()
        elif sign == "\\":
            accepts = self._read_escaped()
        end = self.automaton.add()
        step = self.automaton.add()
        self.automaton.jumps[begin].append(step)
        self.automaton.steps[step] = (accepts, end)
        return end

    def _read_group(self, begin: int, depth: int) -> int:
        if self._peek() == "?":
            if self.text[self.place : self.place + 2] != "?:":
                raise UnknownPattern
            self.place += 2
        # A separate state: a repetition must not return to the state before it.
        inner = self.automaton.add()
        self.automaton.jumps[begin].append(inner)
        end = self.read_choice(inner, depth + 1)
        if self._peek() != ")":
            raise UnknownPattern
        self.place += 1
        return end

    def _read_escaped(self) -> Accepts:
        sign = self._peek()
        self.place += 1
        if sign in _CLASSES:
            return _CLASSES[sign]
        if not sign or sign.isalnum():
            raise UnknownPattern
        return sign.__eq__

    def _read_set(self) -> Accepts:
        end = self.text.find("]", self.place + 1)
        inside = self.text[self.place : end]
        if end < 0 or "\\" in inside or "[" in inside:
            raise UnknownPattern
        self.place = end + 1
        is_negated = inside.startswith("^")
        known, ranges = _read_ranges(inside.removeprefix("^"))

        def accepts(character: str) -> bool:
            is_in = character in known or any(a <= character <= b for a, b in ranges)
            return is_in != is_negated

        return accepts

    def _peek(self) -> str:
        return self.text[self.place : self.place + 1]


def _read_ranges(inside: str) -> tuple[frozenset[str], list[tuple[str, str]]]:
    single, ranges, place = set(), [], 0
    while place < len(inside):
        if inside[place + 1 : place + 2] == "-" and place + 2 < len(inside):
            ranges.append((inside[place], inside[place + 2]))
            place += 3
        else:
            single.add(inside[place])
            place += 1
    return frozenset(single), ranges
