"""``exp(x / T)`` of a block of plain memory, by whichever exponential is quick on this processor. NumPy only."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

Exponential = Callable[[Any, Any], Any]  # exp(x, out): of C-ordered rows, x and out may be the same

EXACT = (1e-12, 1e15)  # sums of exponentials for which no shift is needed
ROUNDED = (1e-4, 1e9)  # sums for which none is needed if the argument was rounded: its error grows with its size


def _divided(exponential: Exponential, divisor: float, x, out):
    return exponential(np.divide(x, divisor, out=out), out)


def _by_powers_of_two(factor, x, out):
    return np.exp2(np.multiply(x, factor, out=out), out=out)


@cache
def _has_fast_powers_of_two() -> bool:
    """Whether NumPy takes two powers of 2 in the time of one exponential in float32: so it is with AVX-512."""
    try:
        found = np.lib.introspect.opt_func_info(func_name="^exp2$", signature="float32")["exp2"]["ff"]["current"]
    except (AttributeError, KeyError):
        return False
    return found in ("AVX512_SKX", "X86_V4")


def scaled_exponential(dtype: str, divisor: float | None, own: Exponential | None, powers: bool | None):
    """Return ``f(x, out)`` that fills out with ``exp(x / divisor)``, and the sums for which no shift is needed.

    `own` is the framework's exponential where that is the quickest; `powers` says whether powers of two are (None: ask).
    """
    powers = _has_fast_powers_of_two() if powers is None else powers
    if own is None and dtype == "float32" and powers:
        return partial(_by_powers_of_two, np.float32(1 / math.log(2) / (divisor or 1.0))), ROUNDED
    exponential = own or np.exp
    return (exponential, EXACT) if divisor is None else (partial(_divided, exponential, divisor), ROUNDED)
