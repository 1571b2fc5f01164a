"""The hard choices: argmax, the k largest, and what lies near an argmax. They select and carry no gradient."""

import math

from .ops import RuleOps
from .positions import along, counted, entries
from .rule import Array
from .scores import is_empty, kept_and_reference, kth_largest, largest


def comparable(ops: RuleOps, x: Array, mask: Array | None, sign: int, axes: tuple[int, ...], k: int | None = None):
    """Return scores to compare, in the dtype they came in, and which take part. Integers stay exact."""
    xp = ops.xp
    x = ops.detach(x)
    if not xp.isdtype(x.dtype, "integral"):
        x = x if sign == 1 else -x
        return x, kept_and_reference(ops, x, mask, axes, k)[0]
    x = x if sign == 1 else xp.bitwise_invert(x)  # decreasing, and unlike negation never out of range
    whole = xp.ones_like(x, dtype=xp.bool)
    return x, whole if mask is None else whole & mask


def _lowest(ops: RuleOps, x: Array) -> Array:
    xp = ops.xp
    low = xp.iinfo(x.dtype).min if xp.isdtype(x.dtype, "integral") else -math.inf
    return xp.asarray(low, dtype=x.dtype, **ops.place(x))


def first_largest(ops: RuleOps, x: Array, keep: Array, axes: tuple[int, ...]) -> Array:
    """True at the first of the largest kept scores along the axes, counted in their order; nowhere in the row of a NaN."""
    xp = ops.xp
    rank = ranks(ops, x, axes)
    if len(axes) == 1 and not is_empty(x) and xp.isdtype(x.dtype, "real floating") and not ops.maximum_drops_nan:
        first = xp.argmax(xp.where(keep, x, -math.inf), axis=axes[0], keepdims=True)
        return ((rank == first) & keep & (x == x))[...]
    top = largest(ops, xp.where(keep, x, _lowest(ops, x)), axes)
    first = -largest(ops, xp.where(keep & (x == top), -rank, -entries(ops, x, axes)), axes)
    return (rank == first)[...]  # NumPy makes numbers of arrays without axes


def ranks(ops: RuleOps, x: Array, axes: tuple[int, ...]) -> Array:
    """Return the index of each entry along the axes, counted in their order; it broadcasts against x."""
    xp = ops.xp
    spans = [ops.span(x, axis) for axis in axes]
    rank, stride = xp.reshape(xp.arange(1, **ops.place(x)), (1,) * x.ndim), 1
    for axis, (start, n) in zip(reversed(axes), reversed(spans), strict=True):
        rank = rank + along(ops, counted(ops, x, axis, start) * stride, x.ndim, axis)
        stride = stride * n
    return rank


def k_largest(ops: RuleOps, x: Array, keep: Array, k: int, axes: tuple[int, ...]) -> Array:
    """True at the k largest kept scores along the axis; of equal ones the first are taken."""
    xp = ops.xp
    kth = kth_largest(ops, xp.where(keep, x, _lowest(ops, x)), k, axes)
    above, level = keep & (x > kth), keep & (x == kth)
    levels = xp.astype(level, xp.int32)
    left = k - xp.sum(xp.astype(above, xp.int32), axis=axes, keepdims=True)
    return above | (level & (ops.running(levels, axes[0])[0] <= left))


def near(ops: RuleOps, chosen: Array, window: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """True within so many entries of the chosen one, along each of the axes."""
    xp = ops.xp
    inside = chosen == chosen
    for axis, reach in zip(axes, window, strict=True):
        index = along(ops, counted(ops, chosen, axis, ops.span(chosen, axis)[0]), chosen.ndim, axis)
        center = xp.sum(xp.where(chosen, index, 0), axis=axes, keepdims=True)
        inside = inside & (xp.abs(index - center) <= reach)
    return inside


def at(ops: RuleOps, chosen: Array, positions: tuple[Array, ...], axes: tuple[int, ...]) -> Array:
    """The positions at the chosen entries, exactly: nothing is multiplied."""
    xp = ops.xp
    return xp.stack([xp.sum(xp.where(chosen, ops.detach(c), 0.0), axis=axes) for c in positions], axis=-1)
