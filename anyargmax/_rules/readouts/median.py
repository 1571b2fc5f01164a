"""The median of positions under weights, interpolated between the two entries that half of the weight lies between."""

from ..ops import RuleOps
from ..rule import Rule
from .mean import mean_tangent, mean_transposed
from .stacked import blank, squeezed, summed


def _parts(ops: RuleOps, p, c, axes, k):
    """Return ``S_j = sum_{i > j} p_i``, ``sum_{i <= j} p_i``, ``c_0`` and ``c_{j+1} - c_j``, 0 for the last j.

    The weights are the marginal ones along axes[k].
    """
    others = tuple(other for other in axes if other != axes[k])
    marginal = ops.xp.sum(p, axis=others, keepdims=True) if others else p
    below, total, first, ahead = ops.running(marginal, axes[k], c)
    return total - below, below, first, ahead - c


def _is_moving(ops: RuleOps, above, below, axis, given):
    """Whether more than half of the weight lies above, but for the last digits of a sum, and not all of it.

    Weights that are given may sum to more or less than 1: then a sum of 1 above is the end, whatever lies below.
    """
    n = above.shape[axis] + 1
    digits = min(n, 32) if isinstance(n, int) else 32  # exports have symbols
    slack = digits * float(ops.xp.finfo(above.dtype).eps)
    some = below > 0
    return (above > 0.5 + slack) & (((above < 1 - slack) | (some & (above <= 1 + slack))) if given else some)


def _slopes(ops: RuleOps, steps, moving, axis):
    """``2 sum_{j < i} (c_{j+1} - c_j)`` over the steps that move."""
    xp, before = ops.xp, (slice(None),) * axis
    steps = xp.where(moving, 2 * steps, 0.0)
    travelled = ops.running(steps, axis)[0]
    start, step = travelled[(*before, slice(1), ...)], steps[(*before, slice(1), ...)]
    start = xp.where(start == step, 0.0, start - step)
    return ops.concat([start, travelled[(*before, slice(steps.shape[axis] - 1), ...)]], axis=axis)


def _clipped(xp, above):
    """``clip(2 S - 1, 0, 1)``."""
    return xp.where(above <= 0.5, 0.0, xp.where(above >= 1, 1.0, 2 * above - 1))


def _median(ops: RuleOps, p, positions, *, axes, given=False):
    """``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)`` with ``S_j = sum_{i > j} p_i``."""
    found = [_parts(ops, p, c, axes, k) for k, c in enumerate(positions)]
    terms = [steps * _clipped(ops.xp, above) for above, _, _, steps in found]
    return _answers(ops, p, [first for _, _, first, _ in found], terms, [], axes, given)


def median(ops: RuleOps, p, positions, *, axes, given=False):
    """Return the same number in operations whose derivatives are those of the weights that move it.

    While the same steps move, it is ``base + sum_i p_i slope_i``. A framework that differentiates a cumulative sum of
    weights instead would add up its cotangent once for each entry.
    """
    xp, moved, travelled, starts = ops.xp, [], [], []
    for k, c in enumerate(positions):
        above, below, first, steps = _parts(ops, ops.detach(p), c, axes, k)
        moving = _is_moving(ops, above, below, axes[k], given)
        travelled.append(steps * xp.where(moving, -1.0, _clipped(xp, above)))  # of what moves, ``2 S`` is left
        moved.append(p * _slopes(ops, steps, moving, axes[k]))
        starts.append(first)
    return _answers(ops, p, starts, travelled, moved, axes, given)


def _answers(ops: RuleOps, p, starts, travelled, moved, axes, given):
    """The first positions, and sums: of what lies along one axis each, and of what lies along all of them."""
    if len(axes) == 1:  # all sums at once
        sums, there = summed(ops, p, [*moved, *travelled], axes, given)
        moved, travelled = sums[: len(moved)], sums[len(moved) :]
    else:
        moved, there = summed(ops, p, moved, axes, given)
        travelled = [squeezed(*ops.totals((axes[k],), t), axes) for k, t in enumerate(travelled)]
    answers = [squeezed(first, axes) + t for first, t in zip(starts, travelled, strict=True)]
    return blank(ops, [y + m for y, m in zip(answers, moved, strict=True)] if moved else answers, there)


def _median_slopes(ops: RuleOps, p, positions, axes, given):
    """``d median / dp_i = 2 sum_{j < i} (c_{j+1} - c_j) [1/2 < S_j < 1]``, broadcastable against p."""
    slopes = []
    for k, c in enumerate(positions):
        above, below, _, steps = _parts(ops, ops.detach(p), c, axes, k)
        slopes.append(_slopes(ops, steps, _is_moving(ops, above, below, axes[k], given), axes[k]))
    return tuple(slopes)


def _pulled(ops: RuleOps, g, y, p, positions, *, axes, given=False):
    return mean_transposed(ops, g, _median_slopes(ops, p, positions, axes, given), axes=axes)


def _pushed(ops: RuleOps, t, y, p, positions, *, axes, given=False):
    return mean_tangent(ops, t, y, p, _median_slopes(ops, p, positions, axes, given), axes=axes)


MEDIAN = Rule(
    name="median",
    forward=_median,
    vjps=(_pulled,),
    jvps=(_pushed,),
    composite=median,
    inlined=True,
    reduces=True,
)
