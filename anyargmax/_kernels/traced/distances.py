"""Distances of the scores from a reference score of their row, in few operations and without a look at any value.

An entry is selected once or twice, whatever it is. Where a score may be infinite, so is its distance: an exponential or a
clipped line makes a weight of 0 of that.
"""

import math

from ..._rules.rule import Array
from ..._rules.scores import kth_largest, largest
from ..kernel import KernelOps


def shifted(ops: KernelOps, x: Array, mask: Array | None, axes: tuple[int, ...], k: int | None = None):
    """Return ``x - reference``, which is the largest kept score of each row or the k-th, and the reference, axes kept.

    A score that is not kept is at ``-inf``, also in the row of a NaN. In a row with ``+inf`` for its reference all but those
    are, and they are at 0. Neither has a derivative. Without k kept scores, the reference is ``-inf``, and 0 is in its place.
    """
    xp = ops.xp
    if mask is not None:
        x = xp.where(mask, x, -math.inf)
    value = ops.detach(x)
    reference = largest(ops, value, axes) if k is None else kth_largest(ops, value, k, axes)
    low = xp.where(reference == -math.inf, 0.0, reference)
    # The row of a NaN has no peak: its derivative is NaN at +inf too. One condition on the reference alone, laid out for
    # each entry, would be kept for the backward pass.
    peak = (value == math.inf) & (low == math.inf)
    return xp.where(value == -math.inf, value, xp.where(peak, 0.0, x - low)), reference


def quotient(ops: KernelOps, distance: Array, temperature, far: Array) -> Array:
    """Return ``distance / temperature``, 0 where it is far: a derivative by the temperature has no infinity in it."""
    z = ops.xp.where(far, 0.0, distance)
    return z if temperature is None else z / temperature
