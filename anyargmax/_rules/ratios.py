"""Quotients of exponentials and logarithms by their argument, smooth through 0."""

from .ops import RuleOps
from .rule import Array


def log1p_ratio(ops: RuleOps, w: Array) -> Array:
    """``log1p(w) / w``, smooth through w = 0, where it and its derivatives come from a series.

    The series is that of ``2 artanh(w / (2 + w))``. It reaches as far as 0.5 because XLA's log1p on the CPU
    is ``log(1 + w)`` from 1e-4 on, which there has lost four digits.
    """
    xp = ops.xp
    small = xp.abs(ops.detach(w)) < 0.5
    near, far = xp.where(small, w, 0.0), xp.where(small, 1.0, w)
    square = (near / (2 + near)) ** 2
    series = xp.zeros_like(w)
    for n in range(33, 0, -2):
        series = 1 / n + square * series
    return xp.where(small, 2 / (2 + near) * series, xp.log(1 + far) / far)


def expm1_ratio(ops: RuleOps, w: Array) -> Array:
    """``expm1(w) / w``, smooth through w = 0, where it and its derivatives come from the series."""
    xp = ops.xp
    small = xp.abs(ops.detach(w)) < 1e-1
    near, far = xp.where(small, w, 0.0), xp.where(small, 1.0, w)
    series = xp.ones_like(w)
    for n in range(11, 1, -1):
        series = 1 + near / n * series
    return xp.where(small, series, xp.expm1(far) / far)
