"""Distances of the scores from the largest of their row, in few operations and without a look at any value.

An entry is selected once or twice, whatever it is. Where it may be infinite, so is its distance: ``exp`` and a clipped
line make a weight of 0 of that, and a derivative of 0.
"""

import math

from ..._rules.rule import Array
from ..._rules.scores import largest
from ..kernel import KernelOps


def shifted(ops: KernelOps, x: Array, mask: Array | None, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return ``x - top`` and the largest kept score of each row, axes kept: that is 0 where no score is kept.

    A score that is not kept is at ``-inf``, also in the row of a NaN. In a row with ``+inf`` all but those are, and they
    are at 0. Neither has a derivative.
    """
    xp = ops.xp
    if mask is not None:
        x = xp.where(mask, x, -math.inf)
    value = ops.detach(x)
    top = largest(ops, value, axes)
    top = xp.where(top == -math.inf, 0.0, top)
    # The row of a NaN has no peak: its derivative is NaN at +inf too. A condition on the largest score alone, laid out
    # for each entry, would be kept for the backward pass.
    peak = (value == math.inf) & (top == math.inf)
    return xp.where(value == -math.inf, value, xp.where(peak, 0.0, x - top)), top


def scaled(ops: KernelOps, distance: Array, temperature, reach: float) -> tuple[Array, Array | None]:
    """Return ``distance / temperature``, and where that is below `reach`: None of a number, which infinities go through.

    An array of temperatures has a derivative, in which no infinity may stand: the quotient is 0 below the reach.
    """
    if temperature is None or isinstance(temperature, float):
        return (distance if temperature is None else distance / temperature), None
    xp, value = ops.xp, ops.detach(distance)
    far = (value < reach * ops.detach(temperature)) | (value == -math.inf)
    return xp.where(far, 0.0, distance) / temperature, far
