"""The one Jacobian of all relaxations: with ``s = phi'(z - tau)`` it is ``diag(s) - s s^T / sum(s)``."""

from .ops import RuleOps
from .relaxations import SOFTMAX, Relaxation
from .rule import Array


def jacobian_product(
    ops: RuleOps, v: Array, p: Array, alpha: Array | None, r: Relaxation, axes: tuple[int, ...], dead: Array | None
):
    """Return ``J v = s * (v - <s, v> / sum(s))``; J is symmetric, so this is both JVP and VJP.

    `dead` marks entries whose derivative is 0 whatever `v` holds there (even NaN); None if there are none.
    """
    xp = ops.xp
    s = r.slope(ops, p, r.order(alpha))
    if dead is not None:
        v = xp.where(dead, 0.0, v)
    if r == SOFTMAX:  # its s = p sums to 1, or to 0
        return s * (v - xp.sum(s * v, axis=axes, keepdims=True))
    pulled, total = ops.totals(axes, s * v, s)
    return s * (v - pulled / xp.where(ops.detach(total) == 0, 1.0, total))
