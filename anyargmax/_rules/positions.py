"""What the entries of an axis stand for: a table of positions that broadcasts against the scores."""

import math
from typing import Any

from .ops import RuleOps
from .rule import Array


def along(ops: RuleOps, values: Array, ndim: int, axis: int) -> Array:
    """Lay a 1-D array along one axis of ndim."""
    return ops.xp.reshape(values, (1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


def known_length(x: Array, axis: int) -> Any:
    """Return the length of an axis that positions are counted along.

    Raises
    ------
    ValueError
        If it is not known before the call runs, as in a graph.
    """
    if x.shape[axis] is None:
        raise ValueError(
            f"`axis` must be an axis whose length is known, got axis {axis} of shape {tuple(x.shape)}. Give the array a shape "
            "with that length, or reduce another axis."
        )
    return x.shape[axis]


def entries(ops: RuleOps, x: Array, axes: tuple[int, ...]) -> Any:
    """Return how many entries axes of known lengths have."""
    return math.prod([ops.span(x, axis)[1] for axis in axes])


def counted(ops: RuleOps, x: Array, axis: int, start: Any, **kind: Any) -> Array:
    """Return ``start, start + 1, ...``, a number for each entry of x along an axis."""
    i = ops.indices(x, axis, **kind)
    return i if isinstance(start, int) and start == 0 else i + start


def table(ops: RuleOps, x: Array, axis: int, coordinates: str, dtype: Any = None) -> Array:
    """Return the positions of the entries of an axis of x, in a dtype: that of x unless another is given.

    ``index`` is 0..n-1, ``corner`` runs from -1 to 1 with the ends on the first and last entry, and
    ``center`` holds the centres of n equal cells of [-1, 1]: ``(2 i + 1) / n - 1``. One entry alone is 0.
    """
    start, n = ops.span(x, axis)
    dtype = x.dtype if dtype is None else dtype
    i = counted(ops, x, axis, start, dtype=dtype)
    if coordinates == "corner":
        i = (2 * i - (n - 1)) / max(n - 1, 1)
    elif coordinates == "center":
        i = (2 * i + (1 - n)) / n
    return along(ops, i, x.ndim, axis)
