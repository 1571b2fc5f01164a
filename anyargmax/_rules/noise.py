"""The law of noise: one formula of uniform integers, so that the same ones give the same noise in every framework."""

import math
from collections.abc import Callable
from typing import Any

from .ops import RuleOps
from .rule import Array

# Integers are uniform from 0 to BOUND - 1. Of so many float32 holds each, and twice each plus 1.
BOUND = 2**24


def words(ops: RuleOps, distribution: str, dtype: Any) -> int:
    """Return how many integers one number of noise is made of."""
    return (3 if ops.xp.finfo(dtype).bits > 32 else 2) + (distribution == "normal")


def noise_of(ops: RuleOps, distribution: str, integers: Array, dtype: Any) -> Array:
    """Return noise, which is finite: that of `words` integers each, along the first axis.

    Let w be a uniform number of (0, 1), and a the last integer of a normal number:

    - ``"gumbel"``: ``-log(-log(1 - w))``. Its upper tail comes of a small w, of which all digits count.
    - ``"normal"``: ``sqrt(-2 log w) cos(pi (2 a + 1 - BOUND) / BOUND)``. Both tails come of a small w.
      The angle is never pi / 2, and the law is symmetric.

    References
    ----------
    Gumbel (1958), "Statistics of extremes", Columbia University Press.
    Box and Muller (1958), "A note on the generation of random normal deviates", Ann. Math. Statist. 29, 610-611.
    """
    # Slices and not entries: NumPy would make numbers of an array without axes.
    parts = [ops.xp.astype(integers[k : k + 1, ...], dtype) for k in range(words(ops, distribution, dtype))]
    return _LAWS[distribution](ops, parts, float(ops.xp.finfo(dtype).eps))[0, ...]


def _uniform(ops: RuleOps, parts, eps):
    """A number of ``len(parts)`` digits of base BOUND, rounded once, and neither to 0 nor to 1.

    Scaling by a power of 2 is exact. So it has one value, whether a compiler fuses additions with products or not.
    """
    *higher, w = parts
    for part in reversed(higher):
        w = w * (1 / BOUND) + part
    return ops.xp.clip(w * (1 / BOUND), 0.5 / float(BOUND) ** len(parts), 1 - eps / 2)


def _gumbel(ops: RuleOps, parts, eps):
    w = _uniform(ops, parts, eps)
    # That is -log1p(-w), of which XLA loses 7 bits in float64: its polynomial is good for positive arguments.
    return -ops.xp.log(ops.xp.log1p(w / (1.0 - w)))


def _normal(ops: RuleOps, parts, eps):
    *higher, a = parts
    w = _uniform(ops, higher, eps)
    angle = (2.0 * a + (1.0 - BOUND)) * (math.pi / BOUND)
    return ops.xp.sqrt(-2.0 * ops.xp.log(w)) * ops.xp.cos(angle)


_LAWS: dict[str, Callable[..., Array]] = {"gumbel": _gumbel, "normal": _normal}
