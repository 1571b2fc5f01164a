"""The k largest by a clipped line: ``phi(u) = clip(u, 0, 1)``, sparsemax at k = 1."""

from ..ops import RuleOps
from .record import Relaxation, newton_by_parts, value_by_parts


def _parts(ops: RuleOps, u, keep):
    """1 where the weight is 1, beside it the weight where it moves."""
    xp, value = ops.xp, ops.detach(u)
    # Scores that tie with the threshold, or lie 1 above it, do so whatever the threshold's last digits are.
    edge = 8 * float(xp.finfo(u.dtype).eps)
    high = value >= 1 - edge
    s = xp.astype(keep & (value > edge) & ~high, u.dtype)
    return u * s, xp.astype(keep & high, u.dtype), s


def _terms(ops: RuleOps, r, root, z, keep, order):
    return _parts(ops, z - root, keep)


def _slope(ops: RuleOps, p, order):
    value = ops.detach(p)
    return ops.xp.where((value > 0) & (value < 1), 1.0, value * 0)


def _bracket(ops: RuleOps, z, keep, axes, k):
    zero = ops.row_zeros(z, axes)
    return zero - 1, zero


CAPPED = Relaxation("capped", value_by_parts(_parts), _slope, _bracket, steps=24, terms=_terms, move=newton_by_parts)
