"""Time several calls side by side in one process, so that what disturbs one disturbs all."""

import math
import time
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

try:
    from resource import RUSAGE_SELF, getrusage
except ModuleNotFoundError:  # not on Windows

    def involuntary_switches() -> int:
        """How often the system has taken the processor away from this process: not known here."""
        return 0

else:

    def involuntary_switches() -> int:
        """How often the system has taken the processor away from this process."""
        return getrusage(RUSAGE_SELF).ru_nivcsw


SHORTEST = 1e-3  # seconds; a sample repeats shorter calls
TRIES = 3  # of such a call, of which the quickest says how long it takes
GAP = 4e-3  # seconds; threads of the call before that wait for work by spinning are asleep after it
ROUNDS = 5  # at least, however long they take
Calls = dict[str, Callable[[], Any]]


class Sample(NamedTuple):
    """Seconds of one call, and how often it was interrupted."""

    seconds: float
    switches: int


def _sample(call, loops, clock, switches, wait) -> Sample:
    interrupted, start = switches(), clock()
    for _ in range(loops):
        call()
    wait()
    return Sample((clock() - start) / loops, switches() - interrupted)


def _tried(call, shortest, *how) -> Sample:
    """The first sample, or a quicker one of more where that costs nothing: a first call fills caches."""
    sample, tries = _sample(call, 1, *how), 1
    while tries < TRIES and sample.seconds < TRIES * shortest:
        sample, tries = min(sample, _sample(call, 1, *how)), tries + 1
    return sample


def _nothing() -> None:
    """What there is to wait for after calls that are over when they return."""


def interleaved(
    calls: Calls,
    seconds: float,
    clock=time.perf_counter,
    pause=time.sleep,
    switches=involuntary_switches,
    wait=_nothing,
    shortest=SHORTEST,
) -> dict[str, list[Sample]]:
    """Return samples of each call, taken in rounds until the time is up.

    The order rotates from round to round, and each sample follows a gap and an untimed call. A call that
    alone takes half of the time is timed once. `wait` returns when what was called is done.
    """
    how = clock, switches, wait
    first = {name: _tried(call, shortest, *how) for name, call in calls.items()}
    names = [name for name in calls if first[name].seconds <= seconds / 2]
    loops = {name: max(1, math.ceil(shortest / max(first[name].seconds, 1e-9))) for name in names}
    samples: dict[str, list[Sample]] = {name: [] if name in names else [first[name]] for name in calls}
    end = clock() + seconds
    for turn in count():
        if not names or (turn >= ROUNDS and clock() >= end):
            return samples
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            pause(GAP)
            calls[name]()
            wait()
            samples[name].append(_sample(calls[name], loops[name], *how))
    raise AssertionError("the rounds end by the clock")


def undisturbed(samples: list[Sample]) -> list[float]:
    """Return the seconds of the samples without interruption; of too few, the least interrupted third."""
    clean = [sample.seconds for sample in samples if sample.switches == 0]
    if len(clean) >= min(3, len(samples)):
        return clean
    least = sorted(samples, key=lambda sample: sample.switches)
    return [sample.seconds for sample in least[: math.ceil(len(least) / 3)]]
