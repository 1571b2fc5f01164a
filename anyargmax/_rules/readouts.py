"""The readouts: weights to an answer. Each returns one answer per position array, stacked last."""

from .ops import RuleOps
from .rule import Array, Rule

# Arguments: p weights; positions, a tuple with one array per answer that broadcasts against p and
# varies along the reduced axis of the same place in axes. Static: axes, non-negative integers.


def expand(ops: RuleOps, y: Array, axes: tuple[int, ...]) -> Array:
    """Put the reduced axes back, with length 1."""
    for axis in sorted(axes):
        y = ops.xp.expand_dims(y, axis=axis)
    return y


def _blank(ops: RuleOps, p: Array, answers: list[Array], axes: tuple[int, ...]) -> Array:
    """Stack the answers; NaN (with gradient 0) in a row whose weights are all 0, which has no argmax, or hold a NaN."""
    xp = ops.xp
    there = xp.sum(ops.detach(p), axis=axes) > 0
    return xp.stack([xp.where(there, y, float("nan")) for y in answers], axis=-1)


def mean(ops: RuleOps, p, positions, *, axes):
    """``sum_i c_i p_i``."""
    return _blank(ops, p, [ops.xp.sum(p * c, axis=axes) for c in positions], axes)


def mean_transposed(ops: RuleOps, g, positions, *, axes):
    """Transpose of `mean`: ``sum_k g_k c_k``, the cotangent of the weights."""
    total = 0.0
    for k, c in enumerate(positions):
        total = total + expand(ops, g[..., k], axes) * c
    return total


def mean_tangent(ops: RuleOps, t, y, p, positions, *, axes):
    return ops.xp.stack([ops.xp.sum(t * c, axis=axes) for c in positions], axis=-1)


MEAN = Rule(
    name="mean",
    forward=mean,
    vjps=(lambda ops, g, y, p, positions, *, axes: mean_transposed(ops, g, positions, axes=axes),),
    jvps=(mean_tangent,),
    composite=mean,
    inlined=True,
)


def moments(ops: RuleOps, p, positions, *, axes):
    """For each of the positions the mean, then for each the variance ``sum_i p_i (c_i - mean)^2``."""
    xp = ops.xp
    means = [xp.sum(p * c, axis=axes) for c in positions]
    variances = [xp.sum(p * (c - expand(ops, m, axes)) ** 2, axis=axes) for c, m in zip(positions, means, strict=True)]
    return _blank(ops, p, means + variances, axes)


def _moment_weights(ops: RuleOps, y, positions, axes):
    """``d mean / dp = c`` and ``d variance / dp = (c - mean)^2``: the term through the mean is 0 on the
    directions that keep ``sum p``, and those are the only ones the weights move in."""
    y = ops.xp.where(ops.detach(y) == ops.detach(y), y, 0.0)  # a row without a mean has weights that do not move
    return (*positions, *((c - expand(ops, y[..., k], axes)) ** 2 for k, c in enumerate(positions)))


MOMENTS = Rule(
    name="moments",
    forward=moments,
    vjps=(lambda ops, g, y, p, c, *, axes: mean_transposed(ops, g, _moment_weights(ops, y, c, axes), axes=axes),),
    jvps=(lambda ops, t, y, p, c, *, axes: mean_tangent(ops, t, y, p, _moment_weights(ops, y, c, axes), axes=axes),),
    composite=moments,
    inlined=True,
)


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


def _is_moving(ops: RuleOps, above, below, axis):
    """Whether more than half of the weight lies above, but for the last digits of a sum, and not all of it."""
    n = above.shape[axis] + 1
    digits = min(n, 32) if isinstance(n, int) else 32  # exports have symbols
    return (above > 0.5 + digits * float(ops.xp.finfo(above.dtype).eps)) & (below > 0)


def _slopes(ops: RuleOps, c, moving, axis):
    """``2 sum_{j < i} (c_{j+1} - c_j)`` over the steps that move."""
    steps = ops.xp.where(moving, 2 * _steps(c, axis), 0.0)
    first = ops.xp.zeros_like(ops.xp.sum(steps, axis=axis, keepdims=True))
    return ops.concat([first, ops.cumulative_sum(steps, axis=axis)], axis=axis)


def _held(xp, above, moving):
    """``clip(2 S - 1, 0, 1)`` of the steps that do not move, and -1 of those that do, of which ``2 S`` is left."""
    clipped = xp.where(above <= 0.5, 0.0, xp.where(above >= 1, 1.0, 2 * above - 1))
    return xp.where(moving, -1.0, clipped)


def median(ops: RuleOps, p, positions, *, axes):
    """``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)`` with ``S_j = sum_{i > j} p_i``.

    While the same steps move, that is ``base + sum_i p_i slope_i``. A framework that differentiates a cumulative sum of
    weights instead would add up its cotangent once for each entry.
    """
    xp, answers = ops.xp, []
    for k, c in enumerate(positions):
        above, below = _shares(ops, ops.detach(p), axes, k)
        moving = _is_moving(ops, above, below, axes[k])
        travelled = xp.sum(_steps(c, axes[k]) * _held(xp, above, moving), axis=axes[k], keepdims=True)
        base = xp.sum(c[_around(axes[k], 0, 1)] + travelled, axis=axes)
        answers.append(base + xp.sum(p * _slopes(ops, c, moving, axes[k]), axis=axes))
    return _blank(ops, p, answers, axes)


def _median_slopes(ops: RuleOps, p, positions, axes):
    """``d median / dp_i = 2 sum_{j < i} (c_{j+1} - c_j) [1/2 < S_j < 1]``, broadcastable against p."""
    slopes = []
    for k, c in enumerate(positions):
        above, below = _shares(ops, p, axes, k)
        slopes.append(_slopes(ops, c, _is_moving(ops, above, below, axes[k]), axes[k]))
    return tuple(slopes)


MEDIAN = Rule(
    name="median",
    forward=median,
    vjps=(lambda ops, g, y, p, c, *, axes: mean_transposed(ops, g, _median_slopes(ops, p, c, axes), axes=axes),),
    jvps=(lambda ops, t, y, p, c, *, axes: mean_tangent(ops, t, y, p, _median_slopes(ops, p, c, axes), axes=axes),),
    composite=median,
    inlined=True,
)
