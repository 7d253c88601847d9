# SPDX-License-Identifier: Apache-2.0
"""Questions about cron schedules, answered by Kubernetes' own CronJob controller and by ours.

The controller's answers come from a Go program (testbed/go/cronjob); both read one time zone
database. Run as a script, it writes golden answers for machines without Go.
"""

import os
import random
import subprocess
import zoneinfo
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from finetune_operator.schedule.due import TOO_MANY, NeverDue, Timetable, find_due, find_next
from finetune_spec.cron.expression import parse_cron
from finetune_spec.cron.times import next_time
from finetune_spec.cron.zones import find_zone
from testbed.binaries import Module, build

CRONJOB = Module(
    folder="cronjob",
    title="the CronJob controller's clockwork",
    programs={"cronjob": "."},
    patience=" (the first time takes some minutes)",
)
HANGS = "hangs"
"""The answer if a controller never returns."""
GOLDEN = Path(__file__).parents[1] / "golden" / "cron.txt"

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # It changes by half an hour.
    "America/Sao_Paulo",  # It had changes at midnight.
    "America/Santiago",  # It still has them.
    "Asia/Kathmandu",  # Its offset has three quarters of an hour.
    "Africa/Cairo",
    "Pacific/Apia",  # It skipped a complete day.
    "Africa/Casablanca",
    "America/Nuuk",
)
FROM, UNTIL = datetime(2008, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)

_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMES = {3: "jan feb mar apr may jun jul aug sep oct nov dec", 4: "sun mon tue wed thu fri sat"}
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def an_expression(chance: random.Random) -> str:
    """A valid expression, or nearly valid."""
    if chance.random() < 0.06:
        unit = chance.choice(("45s", "90s", "7m", "1h30m", "36h", "1.5h", "100ms", "1h1ns"))
        return chance.choice((*_DESCRIPTORS, f"@every {unit}"))
    fields = [_a_field(chance, place) for place in range(5)]
    # Most schedules name an hour in which clocks change.
    if chance.random() < 0.4:
        fields[1] = str(chance.choice((0, 1, 2, 3, 23)))
    if chance.random() < 0.5:
        fields[2:4] = ["*", "*"]
    return " ".join(fields)


def _a_field(chance: random.Random, place: int) -> str:
    if chance.random() < 0.35:
        return chance.choice(("*", "*", "*", "?", "*/1"))
    return ",".join(_a_part(chance, place) for _ in range(chance.choice((1, 1, 1, 2, 3))))


def _a_part(chance: random.Random, place: int) -> str:
    low, high = _LIMITS[place]
    first, second = sorted((chance.randint(low, high), chance.randint(low, high)))
    names = _NAMES.get(place, "").split()
    if names and chance.random() < 0.3:
        return chance.choice((str.upper, str.title, str.lower))(names[first - low])
    if chance.random() < 0.02:
        first, second = second + 1, first
    step = chance.choice((1, 2, 3, 5, 7, 15, 20))
    return chance.choice(
        (f"{first}", f"{first}", f"{first}-{second}", f"{first}-{second}/{step}", f"{first}/{step}")
        + ((f"*/{step}",) if place != 2 else ())
    )


def a_mistake(chance: random.Random) -> str:
    """An expression with some characters changed: Kubernetes may still accept it."""
    text = list(an_expression(chance))
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = chance.randrange(len(text) + 1)
        text[place : place + chance.choice((0, 1))] = chance.choice("*?/-,+0123456789 @LW#masuhx\t")
    return "".join(text)


def a_moment(chance: random.Random, begin: datetime = FROM, end: datetime = UNTIL) -> int:
    return chance.randint(int(begin.timestamp()), int(end.timestamp()))


def a_question(chance: random.Random, count: int) -> str:
    """Line of the program's input."""
    zone, expression = chance.choice(ZONES), an_expression(chance)
    if chance.random() < 0.6:
        return f"next|{zone}|{expression}|{a_moment(chance)}|{count}"
    created = a_moment(chance)
    now = created + int(timedelta(days=1).total_seconds() * 10 ** chance.uniform(-3, 2))
    last = chance.choice(("-", str(chance.randint(created, now))))
    deadline = chance.choice(("-", "-", "10", "3600", "86400"))
    return f"due|{zone}|{expression}|{created}|{last}|{deadline}|{now}"


def ask_kubernetes(questions: list[str]) -> list[str]:
    answered = subprocess.run(
        [build(CRONJOB) / "cronjob"],
        input="\n".join(questions) + "\n",
        env=os.environ | {"ZONEINFO": _database()},
        capture_output=True,
        text=True,
        check=True,
    )
    return answered.stdout.splitlines()


def answer(question: str) -> str:
    """Our answer."""
    kind, zone, text, *given = question.split("|")
    try:
        expression = parse_cron(text)
    except ValueError:
        return "error"
    if kind == "next":
        moment, found = _time(given[0]), []
        for _ in range(int(given[1])):
            following = next_time(expression, moment, find_zone(zone))
            if following is None:
                break
            moment = following
            found.append(str(int(moment.timestamp())))
        return " ".join(found)
    created, last, deadline, now = given
    table = Timetable(
        expression=expression,
        zone=find_zone(zone),
        starting_deadline=None if deadline == "-" else timedelta(seconds=int(deadline)),
    )
    since = _time(created if last == "-" else last)
    try:
        due = find_due(table, since, _time(now))
        again = find_next(table, since, _time(now))
    except NeverDue:
        return "error"
    assert again is not None
    start = "-" if due.start is None else str(int(due.start.timestamp()))
    missed = 2 if due.missed > TOO_MANY else min(due.missed, 1)
    return f"{start} {missed} {int(again.timestamp())}"


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(int(text), UTC)


def _database() -> str:
    """The time zone database of Python."""
    folders = [path for path in zoneinfo.TZPATH if (Path(path) / "Europe" / "Berlin").exists()]
    return folders[0] if folders else str(resources.files("tzdata").joinpath("zoneinfo"))


if __name__ == "__main__":
    chance = random.Random(1)  # noqa: S311 - the same questions each time
    questions = [a_question(chance, 5) for _ in range(400)]
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = map("{} = {}".format, questions, ask_kubernetes(questions))
    GOLDEN.write_text("\n".join(lines) + "\n")
