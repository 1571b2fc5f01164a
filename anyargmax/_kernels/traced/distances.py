"""Distances of the scores from a reference score of their row, in few operations and without a look at any value.

An entry is selected once or twice, whatever it is. Where a score may be infinite, so is its distance: an exponential or a
clipped line makes a weight of 0 of that.
"""

import math

from ..._rules.rule import Array
from ..._rules.scores import largest
from ..kernel import KernelOps


def shifted(ops: KernelOps, x: Array, mask: Array | None, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return ``x - top``, and the largest kept score of each row, axes kept, which is ``-inf`` where none is kept.

    A score that is not kept is at ``-inf``, also in the row of a NaN. In a row with ``+inf`` all but those are, and they are
    at 0. Neither has a derivative.
    """
    xp = ops.xp
    if mask is not None:
        x = xp.where(mask, x, -math.inf)
    value = ops.detach(x)
    top = largest(ops, value, axes)
    low = xp.where(top == -math.inf, 0.0, top)
    # The row of a NaN has no peak: its derivative is NaN at +inf too. One condition on the largest score alone, laid out
    # for each entry, would be kept for the backward pass.
    peak = (value == math.inf) & (low == math.inf)
    distance = xp.where(peak, 0.0, x - low)
    if ops.is_recorded(x):  # so that there is no derivative in the row of a NaN either
        distance = xp.where(value == -math.inf, value, distance)
    return distance, top


def above_kth(ops: KernelOps, x: Array, mask: Array | None, k: int, axis: int):
    """Return x less the k-th largest kept score of its row, and that score, like `shifted`.

    Where fewer than k scores are kept, that is ``-inf``, and they are at ``+inf``.
    """
    xp = ops.xp
    if mask is not None:
        x = xp.where(mask, x, -math.inf)
    value = ops.detach(x)
    after = (slice(None),) * (x.ndim - axis - 1)
    ranked, _ = ops.ordering.ordered(value, axis)
    top, kth = ranked[(..., slice(0, 1), *after)], ranked[(..., slice(k - 1, k), *after)]
    kth = xp.where(top == top, kth, top)  # NaN comes first
    peak = (value == math.inf) & (kth == math.inf)
    return xp.where(value == -math.inf, value, xp.where(peak, 0.0, x - kth)), kth


def quotient(ops: KernelOps, distance: Array, temperature, far: Array) -> Array:
    """Return ``distance / temperature``, 0 where it is far: a derivative by the temperature has no infinity in it."""
    z = ops.xp.where(far, 0.0, distance)
    return z if temperature is None else z / temperature
