"""What goes with the scores of a whole call in one run: the temperature and the mask, in memory."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .._rules.rule import Array
from .kernel import Memory

LARGEST = 2.0**96  # a larger temperature in an array is left to the rules: a product with it may overflow


class Beside(NamedTuple):
    """The temperature and the mask of one run, as a kernel uses them.

    Attributes
    ----------
    divisor
        What the scores are divided by: a number, negative for the smallest score, or an array of one number a row, of
        shape (outer, inner). None is 1.
    mask
        NumPy array of shape (outer, n, inner), True keeps. None keeps all.
    arrays
        The arrays of the caller that these come from, the temperature first.
    transposed
        ``transposed(rows)``: what each row gives for its temperature, of shape (outer, inner), as the gradient of the
        caller's array. None if the temperature has no gradient.
    """

    divisor: Any = None
    mask: Any = None
    arrays: tuple[Array, ...] = ()
    transposed: Callable[[Any], Any] | None = None


class Rows(NamedTuple):
    """How an array of scores is seen, of which the axes from `first` to before `last` are reduced."""

    sizes: tuple[int, ...]
    first: int
    last: int
    folded: tuple[int, int, int]  # the shape (outer, n, inner)
    dtype: Any  # of the computation, and its smallest normal and its largest number
    tiny: float
    most: float
    sign: int  # -1 if the smallest score is looked for

    @property
    def reduced(self) -> tuple[int, ...]:
        """The shape with the reduced axes of length 1."""
        return (*self.sizes[: self.first], *(1,) * (self.last - self.first), *self.sizes[self.last :])


def opened(memory: Memory, rows: Rows, divisor: Any, has: tuple[bool, bool], *arrays: Array) -> Beside | None:
    """Return what goes with the scores; None if only the rules can say what it means, such as a temperature of 0.

    The divisor is that of a temperature that is none of the arrays; `has` says whether temperature and mask are.
    """
    mask = _folded(memory.view(arrays[-1]), rows) if has[1] else None
    if not has[0]:
        return Beside(divisor, mask, arrays)
    view, learned = memory.view(arrays[0]), memory.learns(arrays[0])
    values = _widened(memory, view, rows.dtype)
    divisor = _number(values.item(), learned, rows) if values.size == 1 else _a_row(values, rows)
    if divisor is None:
        return None
    transposed = partial(_transposed, memory, view, rows) if learned else None
    return Beside(divisor if rows.sign == 1 else -divisor, mask, arrays, transposed)


def _folded(mask, rows: Rows):
    """A mask as (outer, n, inner): without a copy where it has all or none of the axes before, at and behind n."""
    import numpy as np

    if mask.shape == rows.sizes:
        return mask.reshape(rows.folded)
    sizes, first, last = rows.sizes, rows.first, rows.last
    padded = (1,) * (len(sizes) - mask.ndim) + mask.shape
    parts = [slice(0, first), slice(first, last), slice(last, len(sizes))]
    if all(padded[part] == sizes[part] or set(padded[part]) <= {1} for part in parts):
        return np.broadcast_to(mask.reshape([math.prod(padded[part]) for part in parts]), rows.folded)
    return np.broadcast_to(mask.reshape(padded), sizes).reshape(rows.folded)


def _widened(memory: Memory, view, dtype):
    """The values of an array in the dtype of the computation."""
    import numpy as np

    return view if view.dtype == dtype else memory.copied(view, np.empty(view.shape, dtype=dtype))


def _number(value: float, learned: bool, rows: Rows) -> float | None:
    """The temperature in an array of one: as a number is taken if it has no gradient, and None if it is none."""
    if learned:
        return value if rows.tiny <= value <= LARGEST else None
    return min(max(value, rows.tiny), rows.most) if value > 0 else None


def _a_row(values, rows: Rows):
    """The temperatures as one number a row; None if one of them is out of range, or NaN."""
    import numpy as np

    if not (values.min() >= rows.tiny and values.max() <= LARGEST):
        return None
    outer, _, inner = rows.folded
    padded = values.reshape((1,) * (len(rows.sizes) - values.ndim) + values.shape)
    return np.broadcast_to(padded, rows.reduced).reshape(outer, inner)


def _transposed(memory: Memory, view, rows: Rows, found):
    """The gradient of the caller's array of temperatures: sums over the rows that share one, in its shape and dtype."""
    import numpy as np

    padded = (1,) * (len(rows.sizes) - view.ndim) + view.shape
    shared = tuple(axis for axis, n in enumerate(padded) if n == 1 and rows.reduced[axis] != 1)
    total = found.reshape(rows.reduced).sum(axis=shared, keepdims=True).reshape(view.shape)
    return total if total.dtype == view.dtype else memory.copied(total, np.empty(view.shape, dtype=view.dtype))
