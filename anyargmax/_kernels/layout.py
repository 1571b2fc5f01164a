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


def of(x: Array, axes: tuple[int, ...]) -> Layout:
    """Return the layout of an array with neighbouring axes."""
    shape, first, last = tuple(x.shape), min(axes), max(axes)
    before, n, after = (math.prod(part) for part in (shape[:first], shape[first : last + 1], shape[last + 1 :]))
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
    return ops.xp.reshape(ops.xp.broadcast_to(beside, shape), (*layout.folded[:1], *n, *layout.folded[2:]))
