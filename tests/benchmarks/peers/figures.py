# SPDX-License-Identifier: Apache-2.0
"""The rows of the comparison, from the rounds of both sides."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.peers.one_round import STEADY_RATES, Round
from benchmarks.peers.table import Figure, done, percentile, writes_in_words

Rounds = Sequence[Round]


def figures(ours: Rounds, theirs: Rounds) -> Iterator[Figure]:
    def of(name: str, unit: str, read: Callable[[Round], float], digits: int = 1) -> Figure:
        values = ([read(it) for it in side] for side in (ours, theirs))
        return Figure(name=name, unit=unit, ours=next(values), theirs=next(values), digits=digits)

    for rate in STEADY_RATES:
        yield of(f"CPU per job at {rate:.0f}/s", "ms", _cpu_at(rate))
    yield of("CPU per job, burst", "ms", lambda it: it.burst.cpu_ms_per_job)
    yield of("CPU per job, entire life", "ms", lambda it: it.life.cpu_ms_per_job)
    for rate in STEADY_RATES:
        for share in (0.5, 0.99):
            name = f"create to batch Job at {rate:.0f}/s, p{share * 100:.0f}"
            yield of(name, "ms", _latency_at(rate, share), 0)
    yield of("batch Jobs created in a burst", "1/s", lambda it: it.jobs / it.burst.seconds)
    yield of("writes until a job has started", "", lambda it: done(it.burst.writes) / it.jobs, 2)
    yield of("writes of an entire life", "", lambda it: done(it.life.writes) / it.jobs, 2)
    yield of("entire life of the jobs of a burst", "s", lambda it: it.life.seconds)
    yield of("ready", "s", lambda it: it.ready_seconds, 2)
    yield of("resident memory after 10 jobs", "MiB", lambda it: it.ready_mebibytes, 0)
    yield of("resident memory at the end", "MiB", lambda it: it.end_mebibytes, 0)


def _cpu_at(rate: float) -> Callable[[Round], float]:
    return lambda it: it.steady[rate].cpu_ms_per_job


def _latency_at(rate: float, share: float) -> Callable[[Round], float]:
    return lambda it: percentile(it.steady[rate].latencies, share) * 1000


def kinds_of_writes(title: str, rounds: Rounds) -> Iterator[str]:
    """The writes for each job, over all rounds."""
    jobs = sum(it.jobs for it in rounds)
    start = _together(it.burst.writes for it in rounds)
    life = _together(it.life.writes for it in rounds)
    yield f"{title}, start: {writes_in_words(start, jobs)}"
    yield f"{title}, entire life: {writes_in_words(life, jobs)}"


def _together(writes: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for it in writes:
        total.update(it)
    return total
