"""Hold numbers as decimals of 50 digits, and take derivatives by central differences, good to about 30 digits."""

from collections.abc import Callable
from decimal import Context, Decimal, getcontext, localcontext
from functools import wraps
from typing import Any

import numpy as np

DIGITS = 50
STEP = Decimal(10) ** -20
ZERO, ONE = Decimal(0), Decimal(1)
INF, NAN = Decimal("Infinity"), Decimal("NaN")


def digits(number: int = DIGITS):
    """Compute with so many decimal digits in this scope, NaN and infinity being numbers as in floating point."""
    return localcontext(Context(prec=number, traps=[]))


def precise(f: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function compute with 50 digits, or with more where the caller asked for them."""

    @wraps(f)
    def in_digits(*args, **options):
        with digits(max(DIGITS, getcontext().prec)):
            return f(*args, **options)

    return in_digits


def number(value) -> Decimal:
    """The decimal number that is exactly a float."""
    return value if isinstance(value, Decimal) else Decimal(float(value))


def exact(values):
    """Array of decimal numbers that are exactly the given floats."""
    values = np.asarray(values)
    out = np.empty(values.shape, dtype=object)
    for index in np.ndindex(values.shape):
        out[index] = number(values[index])
    return out


def rounded(values):
    """Back to float64."""
    return np.vectorize(float, otypes=[np.float64])(values) if np.size(values) else np.zeros(np.shape(values))


@precise
def derivative(f, x, t):
    """Directional derivative ``J t`` of f (arrays of decimal numbers to one, or to a tuple)."""
    above, below = (f(np.asarray(moved, dtype=object)) for moved in (x + STEP * t, x - STEP * t))
    if isinstance(above, tuple):
        return tuple(_slope(a, b) for a, b in zip(above, below, strict=True))
    return _slope(above, below)


def _slope(above, below):
    """A difference quotient; 0 where a value stays infinite."""
    still = np.asarray(
        [abs(a) == INF and a == b for a, b in zip(np.ravel(above), np.ravel(below), strict=True)], dtype=bool
    )
    still = still.reshape(np.shape(above))
    zero = np.asarray(ZERO)
    return (np.where(still, zero, above) - np.where(still, zero, below)) / (2 * STEP)
