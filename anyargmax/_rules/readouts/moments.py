"""The mean and the variance of positions under weights, and their covariance."""

from itertools import combinations_with_replacement

from ..ops import RuleOps
from ..rule import Rule
from .mean import mean_tangent, mean_transposed
from .stacked import blank, expand, summed


def pairs_of(count: int, crossed: bool) -> list[tuple[int, int]]:
    """Return which positions each second moment is of: of each with itself, or of all pairs in order."""
    if crossed:
        return list(combinations_with_replacement(range(count), 2))
    return [(k, k) for k in range(count)]


def _stacked(ops: RuleOps, p, positions, axes, given, crossed):
    means, there = summed(ops, p, [p * c for c in positions], axes, given)
    off = [c - expand(ops, m, axes) for c, m in zip(positions, means, strict=True)]
    pairs = pairs_of(len(off), crossed)
    terms = [p * (off[k] ** 2 if k == m else off[k] * off[m]) for k, m in pairs]
    return blank(ops, (*means, *ops.totals(axes, *terms, keepdims=False)), there)


def moments(ops: RuleOps, p, positions, *, axes, given=False):
    """For each of the positions the mean, then for each the variance ``sum_i p_i (c_i - mean)^2``."""
    return _stacked(ops, p, positions, axes, given, crossed=False)


def covariance(ops: RuleOps, p, positions, *, axes, given=False):
    """For each of the positions the mean, then for each pair ``sum_i p_i (c_i - mean) (d_i - mean)``: (0, 0), (0, 1) .. (1, 1) .."""
    return _stacked(ops, p, positions, axes, given, crossed=True)


def _slopes(ops: RuleOps, y, p, positions, axes, given, crossed):
    """``d mean / dp = c`` and ``d second / dp = (c - mean) (d - mean) - c r_d - d r_c`` with ``r = sum_i p_i (c_i - mean)``.

    Each r is 0 for weights that sum to 1, which those of scores do. A row without a mean has weights that do not move.
    """
    xp = ops.xp
    y = xp.where(ops.detach(y) == ops.detach(y), y, 0.0)
    off = [c - expand(ops, y[..., k], axes) for k, c in enumerate(positions)]
    slopes = [off[k] * off[m] for k, m in pairs_of(len(off), crossed)]
    if given:
        rest = ops.totals(axes, *[p * d for d in off])
        pairs = pairs_of(len(off), crossed)
        slopes = [s - positions[k] * rest[m] - positions[m] * rest[k] for s, (k, m) in zip(slopes, pairs, strict=True)]
    return (*positions, *slopes)


def _rule(forward, crossed: bool) -> Rule:
    def pulled(ops: RuleOps, g, y, p, positions, *, axes, given=False):
        return mean_transposed(ops, g, _slopes(ops, y, p, positions, axes, given, crossed), axes=axes)

    def pushed(ops: RuleOps, t, y, p, positions, *, axes, given=False):
        return mean_tangent(ops, t, y, p, _slopes(ops, y, p, positions, axes, given, crossed), axes=axes)

    return Rule(forward.__name__, forward, (pulled,), (pushed,), forward, inlined=True, reduces=True)


MOMENTS = _rule(moments, crossed=False)
COVARIANCE = _rule(covariance, crossed=True)
