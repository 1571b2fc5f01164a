"""``exp(x / T)`` of a block of plain memory, by whichever exponential is quick on this processor. NumPy only."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

Exponential = Callable[[Any, Any], Any]  # exp(x, out): of C-ordered rows, x and out may be the same

EXACT = (1e-12, 1e15)  # sums of exponentials for which no shift is needed
ROUNDED = (1e-4, 1e9)  # sums for which none is needed if the argument was rounded: its error grows with its size


class Scaled(NamedTuple):
    """An exponential of scores that are divided by a temperature.

    ``fill(x, scale, out)`` fills out with ``exp(x / divisor)``, where ``scale = scale_of(divisor)`` of a number, of an array
    or of None; `safe` are the sums for which no shift is needed.
    """

    fill: Callable[[Any, Any, Any], Any]
    scale_of: Callable[[Any], Any]
    safe: tuple[float, float]


def _by_powers_of_two(x, factor, out):
    return np.exp2(np.multiply(x, factor, out=out), out=out)


def _factor(divisor):
    if divisor is None or isinstance(divisor, float):
        return np.float32(1 / math.log(2) / (divisor or 1.0))
    return (1 / math.log(2) / divisor.astype("float64")).astype("float32")


@cache
def _has_fast_powers_of_two() -> bool:
    """Whether NumPy takes two powers of 2 in the time of one exponential in float32: so it is with AVX-512."""
    try:
        found = np.lib.introspect.opt_func_info(func_name="^exp2$", signature="float32")["exp2"]["ff"]["current"]
    except (AttributeError, KeyError):
        return False
    return found in ("AVX512_SKX", "X86_V4")


def scaled_exponential(dtype: str, divides: bool, own: Exponential | None, powers: bool | None) -> Scaled:
    """Return the exponential for a dtype. Without a temperature, scores are not divided.

    `own` is the framework's exponential where that is the quickest; `powers` says whether powers of two are (None: ask).
    """
    powers = _has_fast_powers_of_two() if powers is None else powers
    if own is None and dtype == "float32" and powers:
        return Scaled(_by_powers_of_two, _factor, ROUNDED)
    exponential = own or np.exp
    if not divides:
        return Scaled(lambda x, scale, out: exponential(x, out), lambda divisor: None, EXACT)
    return Scaled(partial(_divided, exponential), lambda divisor: 1.0 if divisor is None else divisor, ROUNDED)


def _divided(exponential: Exponential, x, divisor, out):
    return exponential(np.divide(x, divisor, out=out), out)
