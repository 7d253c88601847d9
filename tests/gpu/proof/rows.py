# SPDX-License-Identifier: Apache-2.0
"""Sections within a budget of seconds, and a row for each result, written immediately."""

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST = 600
"""Characters of an error in a row."""


@dataclass(kw_only=True)
class Rows:
    """The results so far. If the process is killed, all previous rows remain."""

    file: Path
    budget: float
    began: float = field(default_factory=time.monotonic)
    rows: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        return self.budget - (time.monotonic() - self.began)

    def add(self, name: str, **figures: Any) -> None:
        row = {"at": round(time.monotonic() - self.began), "name": name, **figures}
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.rows, indent=1) + "\n")

    def attempt(self, name: str, needed: float, measure: Callable[[], None], **what: Any) -> None:
        """Calls it if there is time for it. A failure is a row, and the next section continues."""
        if self.seconds_left < needed:
            self.add(name, **what, skipped=f"{self.seconds_left:.0f} s left of {needed:.0f}")
            return
        began = time.monotonic()
        try:
            measure()
        except Exception as error:  # noqa: BLE001 - the other sections are worth their time
            traceback.print_exc(file=sys.stderr)
            self.add(name, **what, failed=f"{type(error).__name__}: {error}"[:LONGEST])
        self.add(f"{name}, took", **what, seconds=round(time.monotonic() - began, 1))

    @property
    def failed(self) -> Sequence[str]:
        return [str(row["name"]) for row in self.rows if "failed" in row]
