"""The k largest by a logistic function: ``phi(u) = 1 / (1 + exp(-u))``."""

import math

from ..ops import RuleOps
from ..positions import entries
from ..scores import log_smallest
from .record import Relaxation, newton_by_parts, value_by_parts


def _parts(ops: RuleOps, u, keep):
    """1 where the weight is at least 1/2, beside it what is missing there, and the weight elsewhere."""
    xp = ops.xp
    kept, high = xp.astype(keep, u.dtype), xp.astype(ops.detach(u) >= 0, u.dtype)
    sign = 1 - 2 * high
    e = xp.exp(u * sign)  # and not -abs(u), which has no derivative at 0
    q = e / (1 + e)
    return q * sign * kept, high * kept, q * (1 - q) * kept


def _slope(ops: RuleOps, p, order):
    return p * (1 - p)


def _bracket(ops: RuleOps, z, keep, axes, k):
    xp = ops.xp
    n = entries(ops, z, axes)
    start = ops.row_zeros(z, axes)
    level = xp.sum(xp.astype(keep & (z >= 0), xp.int32), axis=axes, keepdims=True) > k
    floor = log_smallest(ops, z.dtype)
    below = xp.max(xp.where(keep & (z < 0), z, floor), axis=axes, keepdims=True)
    return xp.where(level, 0.0, below) - math.log(k), start + math.log(max(n - k, 1))


def _terms(ops: RuleOps, r, root, z, keep, order):
    return *_parts(ops, z - root, keep), ops.xp.astype(keep, z.dtype)


def _move(ops: RuleOps, r, root, sums, order):
    """Take Newton's step on the logarithm of the odds ``sum p : n - sum p``, which is nearly linear in the threshold.

    Near its end, the quotient of that logarithm is its series: the derivative of a quotient of tiny numbers overflows.
    """
    xp, k = ops.xp, r.k
    *parts, count = sums
    move, over = newton_by_parts(ops, r, root, parts, order)
    rest = xp.where(count > k, count - k, 1.0)
    odds = xp.log1p(over / k) - xp.log1p(-over / rest)
    near = xp.abs(ops.detach(over)) < float(xp.finfo(over.dtype).eps) ** 0.5
    series = 1 / k + 1 / rest + over / 2 * (1 / rest**2 - 1 / k**2)
    factor = (over + k) * (rest - over) / (rest + k) * xp.where(near, series, odds / xp.where(near, 1.0, over))
    return xp.where(factor != factor, move, move * factor), over


SIGMOID = Relaxation("sigmoid", value_by_parts(_parts), _slope, _bracket, steps=32, terms=_terms, move=_move)
