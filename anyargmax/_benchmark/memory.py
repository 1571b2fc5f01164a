"""How much memory a call needs at most, where the system counts it."""

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
SMALL, LARGE = 2**17, 2**25  # what glibc starts with, and what it goes up to by itself once large arrays were freed
SETTLE = 0.01  # seconds; JAX frees in a thread of its own
TRIES = 3  # of which the least counts: what else happens in the process only adds to it


@contextlib.contextmanager
def _returning_memory() -> Iterator[Callable[[], Any]]:
    """Have freed memory go back to the system, in this scope: kept, it would serve the next call unseen."""
    try:
        libc = ctypes.CDLL(None)
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError, TypeError):  # not glibc
        yield lambda: None
        return
    mallopt(MMAP_THRESHOLD, SMALL), mallopt(TRIM_THRESHOLD, SMALL)
    try:
        yield lambda: trim(0)
    finally:
        mallopt(MMAP_THRESHOLD, LARGE), mallopt(TRIM_THRESHOLD, 2 * LARGE)


def _highest() -> int:
    """The most bytes that were ever resident since the last reset."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def peak(call: Callable[[], Any], unit: int = 1, reset: Path = RESET) -> float | None:
    """Return how much a call adds to what is resident before it, at most, in units of bytes; None if nobody counts.

    The result of the call is among it. What the call keeps from one time to the next is not.
    """
    try:
        with _returning_memory() as trim:
            return min(_added(call, trim, reset) for _ in range(TRIES)) / unit
    except OSError:
        return None


def _added(call, trim, reset: Path) -> int:
    call()
    gc.collect()
    time.sleep(SETTLE)
    trim()
    reset.write_text("5", encoding="ascii")
    before = _highest()
    result = call()
    after = _highest()
    del result
    return after - before
