"""Softmax in few operations that any framework differentiates, for code that is compiled or transformed.

Values cannot be looked at there, so that every row is treated as if it held infinities. What is divided by a sum over
the row is a sum itself: then the derivative that a compiler makes is one loop of products, and nothing is reduced in it.
"""

import math

from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..._rules.scores import log_smallest
from ..kernel import Kernel, KernelOps, Traced
from .distances import quotient, shifted


def _fits(ops: KernelOps, x, *args, axes, relaxation: Relaxation) -> bool:
    """Whether the weights are those of softmax, and values cannot be looked at."""
    return relaxation.alpha == 1 and not ops.is_concrete(x)


def _exponentials(ops: KernelOps, x, temperature, mask, axes):
    """``exp((x - top) / T)``, which is 0 where a score is not kept."""
    xp = ops.xp
    distance, _ = shifted(ops, x, mask, axes)
    if temperature is None or isinstance(temperature, float):
        return xp.exp(distance if temperature is None else distance / temperature)
    value = ops.detach(distance)
    far = (value < log_smallest(ops, x.dtype) * ops.detach(temperature)) | (value == -math.inf)
    return xp.where(far, 0.0, xp.exp(quotient(ops, distance, temperature, far)))


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, exactly 0 below the smallest normal number."""
    xp = ops.xp
    e = _exponentials(ops, x, temperature, mask, axes)
    total = xp.sum(e, axis=axes, keepdims=True)
    p = e / xp.where(ops.detach(total) == 0, 1.0, total)
    return xp.where(ops.detach(p) < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last; NaN if all is masked."""
    xp = ops.xp
    e = _exponentials(ops, x, temperature, mask, axes)
    total = xp.sum(e, axis=axes)
    empty = ops.detach(total) == 0
    total = xp.where(empty, 1.0, total)
    return xp.stack([xp.where(empty, math.nan, xp.sum(e * c, axis=axes) / total) for c in positions], axis=-1)


SOFTMAX = Kernel(
    "softmax",
    traced={
        **dict.fromkeys(("weights", "dense_weights"), Traced(_fits, composite=_weights)),
        "expectation": Traced(_fits, composite=_expectation),
    },
)
