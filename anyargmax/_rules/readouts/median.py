"""The median of positions under weights, interpolated between the two entries that half of the weight lies between."""

from ..ops import RuleOps
from ..rule import Rule
from .mean import mean_tangent, mean_transposed
from .stacked import blank


def _around(axis, start, stop):
    """Index that cuts ``start:stop`` out along an axis."""
    return (*(slice(None),) * axis, slice(start, stop), ...)


def _steps(c, axis):
    """``c_{j+1} - c_j`` along an axis, one shorter than c."""
    n = c.shape[axis]
    return c[_around(axis, 1, n)] - c[_around(axis, 0, n - 1)]


def _shares(ops: RuleOps, p, axes, k):
    """``S_j = sum_{i > j} p_i`` and ``sum_{i <= j} p_i`` for all j but the last, of the marginal weights along axes[k]."""
    xp, axis = ops.xp, axes[k]
    others = tuple(other for other in axes if other != axis)
    marginal = xp.sum(p, axis=others, keepdims=True) if others else p
    below = ops.cumulative_sum(marginal, axis=axis)
    above = xp.sum(marginal, axis=axis, keepdims=True) - below
    but_last = _around(axis, 0, p.shape[axis] - 1)
    return above[but_last], below[but_last]


def _is_moving(ops: RuleOps, above, below, axis, given):
    """Whether more than half of the weight lies above, but for the last digits of a sum, and not all of it.

    Weights that are given may sum to more or less than 1: then a sum of 1 above is the end, whatever lies below.
    """
    n = above.shape[axis] + 1
    digits = min(n, 32) if isinstance(n, int) else 32  # exports have symbols
    slack = digits * float(ops.xp.finfo(above.dtype).eps)
    some = below > 0
    return (above > 0.5 + slack) & (((above < 1 - slack) | (some & (above <= 1 + slack))) if given else some)


def _slopes(ops: RuleOps, c, moving, axis):
    """``2 sum_{j < i} (c_{j+1} - c_j)`` over the steps that move."""
    steps = ops.xp.where(moving, 2 * _steps(c, axis), 0.0)
    first = ops.xp.zeros_like(ops.xp.sum(steps, axis=axis, keepdims=True))
    return ops.concat([first, ops.cumulative_sum(steps, axis=axis)], axis=axis)


def _held(xp, above, moving):
    """``clip(2 S - 1, 0, 1)`` of the steps that do not move, and -1 of those that do, of which ``2 S`` is left."""
    clipped = xp.where(above <= 0.5, 0.0, xp.where(above >= 1, 1.0, 2 * above - 1))
    return xp.where(moving, -1.0, clipped)


def median(ops: RuleOps, p, positions, *, axes, given=False):
    """``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)`` with ``S_j = sum_{i > j} p_i``.

    While the same steps move, that is ``base + sum_i p_i slope_i``. A framework that differentiates a cumulative sum of
    weights instead would add up its cotangent once for each entry.
    """
    xp, answers = ops.xp, []
    for k, c in enumerate(positions):
        above, below = _shares(ops, ops.detach(p), axes, k)
        moving = _is_moving(ops, above, below, axes[k], given)
        travelled = xp.sum(_steps(c, axes[k]) * _held(xp, above, moving), axis=axes[k], keepdims=True)
        base = xp.sum(c[_around(axes[k], 0, 1)] + travelled, axis=axes)
        answers.append(base + xp.sum(p * _slopes(ops, c, moving, axes[k]), axis=axes))
    return blank(ops, p, answers, axes, given)


def _median_slopes(ops: RuleOps, p, positions, axes, given):
    """``d median / dp_i = 2 sum_{j < i} (c_{j+1} - c_j) [1/2 < S_j < 1]``, broadcastable against p."""
    slopes = []
    for k, c in enumerate(positions):
        above, below = _shares(ops, p, axes, k)
        slopes.append(_slopes(ops, c, _is_moving(ops, above, below, axes[k], given), axes[k]))
    return tuple(slopes)


def _pulled(ops: RuleOps, g, y, p, positions, *, axes, given=False):
    return mean_transposed(ops, g, _median_slopes(ops, p, positions, axes, given), axes=axes)


def _pushed(ops: RuleOps, t, y, p, positions, *, axes, given=False):
    return mean_tangent(ops, t, y, p, _median_slopes(ops, p, positions, axes, given), axes=axes)


MEDIAN = Rule(
    name="median",
    forward=median,
    vjps=(_pulled,),
    jvps=(_pushed,),
    composite=median,
    inlined=True,
)
