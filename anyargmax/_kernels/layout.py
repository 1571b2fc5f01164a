"""Arrays seen with their reduced axes as one."""

import math
from typing import NamedTuple

from .._rules.rule import Array
from .kernel import KernelOps


class Layout(NamedTuple):
    """An array seen as (before, n) or (before, n, after), of which n are neighbouring axes."""

    folded: tuple[int, ...]
    inside: tuple[int, ...]  # the lengths of the axes, 1 elsewhere
    rest: tuple[int, ...]  # the shape without the axes


def are_neighbours(axes: tuple[int, ...]) -> bool:
    """Whether there are axes, and none lies between them."""
    return bool(axes) and max(axes) - min(axes) + 1 == len(axes)


def are_foldable(x: Array, axes: tuple[int, ...]) -> bool:
    """Whether axes have known lengths and are one, or can be made one beside no more than one length that is not known yet."""
    lengths = tuple(x.shape)
    known = all(lengths[axis] is not None for axis in axes)
    return known and (len(axes) == 1 or (are_neighbours(axes) and lengths.count(None) <= 1))


def _product(lengths) -> int:
    """The product of lengths; -1, as a reshape has it, if one of them is not known yet."""
    return -1 if None in lengths else math.prod(lengths)


def reshaped(ops: KernelOps, x: Array, shape) -> Array:
    """Return x in another shape, of which one length may be unknown."""
    return ops.xp.reshape(x, tuple(-1 if n is None else n for n in shape))


def of(x: Array, axes: tuple[int, ...]) -> Layout:
    """Return the layout of an array with neighbouring axes."""
    shape, first, last = tuple(x.shape), min(axes), max(axes)
    before, n, after = (_product(part) for part in (shape[:first], shape[first : last + 1], shape[last + 1 :]))
    inside = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    rest = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return Layout((before, n) if last == x.ndim - 1 else (before, n, after), inside, rest)


def folded(ops: KernelOps, layout: Layout, x: Array, beside: Array | None) -> Array | None:
    """Return what goes with x, a number, None, or an array that broadcasts against it, with the axes as one too."""
    if beside is None or not hasattr(beside, "shape"):
        return beside
    reduced = all(n == 1 for n, size in zip(beside.shape, layout.inside, strict=True) if size != 1)
    shape = tuple(1 if reduced and size != 1 else n for n, size in zip(x.shape, layout.inside, strict=True))
    n = (1,) if reduced else layout.folded[1:2]
    spread = _spread(ops, x, beside) if None in shape else ops.xp.broadcast_to(beside, shape)
    return ops.xp.reshape(spread, (*layout.folded[:1], *n, *layout.folded[2:]))


def _spread(ops: KernelOps, x: Array, beside: Array) -> Array:
    """What goes with an array whose lengths are not all known: a mask in its shape, numbers in that without the axes."""
    xp = ops.xp
    if xp.isdtype(beside.dtype, "bool"):
        return beside & xp.ones_like(x, dtype=xp.bool)
    axes = tuple(axis for axis, n in enumerate(beside.shape) if n == 1)
    return beside + xp.sum(xp.zeros_like(x), axis=axes, keepdims=True)
