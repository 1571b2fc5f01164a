"""How much memory a call needs at most, where the system counts it."""

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _highest() -> int:
    """The most bytes that were ever resident since the last reset."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def peak(call: Callable[[], Any]) -> int | None:
    """Return how many bytes a call adds to what is resident before it, at most; None if nobody counts.

    The result of the call is among them. What the call keeps from one time to the next is not.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # of glibc
        ctypes.CDLL(None).malloc_trim(0)  # memory freed but kept would serve the call unseen
    try:
        RESET.write_text("5", encoding="ascii")
        before = _highest()
        result = call()
        after = _highest()
    except OSError:
        return None
    del result
    return after - before
