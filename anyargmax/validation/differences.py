"""Finite differences that know how far to trust themselves."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Arrays = tuple[np.ndarray, ...]
STEPS = (2.0**-9, 2.0**-12, 2.0**-15)
# Of the scale of the result: what a difference is held to, and beyond which error of its own it says nothing.
TOLERANCE, USELESS = 1e-6, 1e-4
EPS = 2.0**-52


class Difference(NamedTuple):
    """A directional derivative, and a bound on its own error relative to its scale (inf where there is a kink)."""

    along: Arrays
    error: float


def _scale(arrays: Arrays) -> float:
    return max([1.0, *(float(np.max(np.abs(x), initial=0.0)) for x in arrays)])


def _at_step(f: Callable[[Arrays], Arrays], x: Arrays, t: Arrays, center: Arrays, h: float) -> Difference:
    """Fourth-order difference from two central ones; what these disagree by bounds its error.

    For a smooth f central differences at h and h / 2 differ by O(h^2), and second differences by O(h^3). At
    a kink one or the other does not shrink with h.
    """
    up, down, half_up, half_down = (
        f(tuple(a + step * b for a, b in zip(x, t, strict=True))) for step in (h, -h, h / 2, -h / 2)
    )
    along, error = [], 0.0
    for u, d, hu, hd, c in zip(up, down, half_up, half_down, center, strict=True):
        wide, narrow = (u - d) / (2 * h), (hu - hd) / h
        bend_wide, bend_narrow = (u - 2 * c + d) / h, 2 * (hu - 2 * c + hd) / h
        along.append(narrow + (narrow - wide) / 3)
        doubt = np.abs(narrow - wide) + np.abs(2 * bend_narrow - bend_wide)
        error = max(error, float(np.max(doubt, initial=0.0)) if np.all(np.isfinite(doubt)) else np.inf)
    rounding = 16 * EPS * _scale(center) / h
    return Difference(tuple(along), (error + rounding) / _scale(tuple(along)))


def difference(f: Callable[[Arrays], Arrays], x: Arrays, t: Arrays, center: Arrays) -> Difference:
    """Return the derivative of f at x along t, with the step that its own error is smallest at.

    Parameters
    ----------
    f
        Takes and returns tuples of float64 arrays of NumPy.
    x, t
        Where and in which direction.
    center
        ``f(x)``.
    """
    best = Difference((), np.inf)
    for h in STEPS:
        found = _at_step(f, x, t, center, h)
        best = found if found.error < best.error or not best.along else best
        if best.error < TOLERANCE / 10:
            break
    return best
