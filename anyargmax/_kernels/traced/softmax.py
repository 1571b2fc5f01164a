"""Softmax in operations that any framework differentiates, for code that is compiled or transformed.

Values cannot be looked at there, so that every row is treated as if it held infinities. A compiler makes one
loop over a row of it only if a sum over the row is used for its entries and for nothing else.
"""

import math

from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..._rules.scores import largest
from ..kernel import Kernel, KernelOps, Traced


def _fits(ops: KernelOps, x, temperature, *args, axes, relaxation: Relaxation) -> bool:
    """Whether the weights are those of softmax at one temperature, and values cannot be looked at."""
    return relaxation.alpha == 1 and (temperature is None or isinstance(temperature, float)) and not ops.is_concrete(x)


def _normalised(ops: KernelOps, x, temperature, mask, axes):
    """The weights before the smallest are dropped, NaN where everything is masked, and the sums of the exponentials.

    Infinite scores are selected: they have no derivative, and the difference of two of them is not a number.
    """
    xp = ops.xp
    if mask is not None:
        x = xp.where(mask, x, -math.inf)
    value = ops.detach(x)
    z = xp.where(value == -math.inf, value, xp.where(value == math.inf, 0.0, x - largest(ops, value, axes)))
    e = xp.exp(z if temperature is None else z / temperature)
    total = xp.sum(e, axis=axes, keepdims=True)
    return e / total, total


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, exactly 0 below the smallest normal number."""
    p, total = _normalised(ops, x, temperature, mask, axes)
    small = ops.detach(p) < float(ops.xp.finfo(p.dtype).smallest_normal)
    return ops.xp.where(small | (ops.detach(total) == 0), 0.0, p)


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last; NaN if all is masked."""
    xp = ops.xp
    p, total = _normalised(ops, x, temperature, mask, axes)
    p = xp.where(ops.detach(total) == 0, math.nan, p)  # selected, what 0 / 0 has of a tangent is dropped
    return xp.stack([xp.sum(p * c, axis=axes) for c in positions], axis=-1)


SOFTMAX = Kernel(
    "softmax",
    traced={
        **dict.fromkeys(("weights", "dense_weights"), Traced(_fits, composite=_weights)),
        "expectation": Traced(_fits, composite=_expectation),
    },
)
