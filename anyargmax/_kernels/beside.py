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


def opener(memory: Memory, rows: Rows, divisor: Any, temperature: Array | None) -> Callable[..., Beside | None]:
    """Return the function of arrays like the caller's that opens them.

    It returns None if only the rules can say what they mean, such as a temperature of 0. The divisor is that of a
    temperature that is none of the arrays. If one is, ``temperature`` is like it.
    """
    if temperature is None:
        return lambda mask: Beside(divisor, _folded(memory.view(mask), rows), (mask,))
    read = partial(_number if math.prod(temperature.shape) == 1 else _a_row, memory, rows)

    def opened(*arrays):
        learned = memory.learns(arrays[0])
        divisor = read(arrays[0], learned)
        if divisor is None:
            return None
        mask = None if len(arrays) == 1 else _folded(memory.view(arrays[1]), rows)
        return Beside(divisor, mask, arrays, partial(_transposed, memory, rows, arrays[0]) if learned else None)

    return opened


def _folded(mask, rows: Rows):
    """A mask as (outer, n, inner): without a copy where it has all or none of the axes before, at and behind n."""
    import numpy as np

    if mask.shape == rows.sizes:
        return mask.reshape(rows.folded)
    sizes, first, last = rows.sizes, rows.first, rows.last
    padded = _padded(mask, rows)
    parts = [slice(0, first), slice(first, last), slice(last, len(sizes))]
    if all(padded[part] == sizes[part] or set(padded[part]) <= {1} for part in parts):
        return np.broadcast_to(mask.reshape([math.prod(padded[part]) for part in parts]), rows.folded)
    return np.broadcast_to(mask.reshape(padded), sizes).reshape(rows.folded)


def _number(memory: Memory, rows: Rows, t, learned: bool) -> float | None:
    """What an array of one temperature divides by: a number; None if it is out of range, or NaN."""
    value = memory.number(t)
    if not (rows.tiny <= value and (value <= LARGEST or not learned)):
        return None
    return rows.sign * min(value, rows.most)


def _a_row(memory: Memory, rows: Rows, t, learned: bool):
    """What an array of temperatures divides by, one number a row; None if one of them is out of range, or NaN."""
    import numpy as np

    values = memory.view(t)
    if values.dtype != rows.dtype:
        values = memory.copied(values, np.empty(values.shape, dtype=rows.dtype))
    if not (np.minimum.reduce(values, axis=None) >= rows.tiny and np.maximum.reduce(values, axis=None) <= LARGEST):
        return None
    outer, _, inner = rows.folded
    if values.size != outer * inner:
        values = np.broadcast_to(values.reshape(_padded(values, rows)), rows.reduced)
    return rows.sign * values.reshape(outer, inner) if rows.sign < 0 else values.reshape(outer, inner)


def _padded(array, rows: Rows) -> tuple[int, ...]:
    """The shape with as many axes as the scores have."""
    return (1,) * (len(rows.sizes) - array.ndim) + array.shape


def _transposed(memory: Memory, rows: Rows, t, found):
    """The gradient of the caller's array of temperatures: sums over the rows that share one, in its shape and dtype."""
    import numpy as np

    view = memory.view(t)
    if view.size == 1:
        total = np.asarray(np.add.reduce(found, axis=None)).reshape(view.shape)
    elif view.size == found.size:
        total = found.reshape(view.shape)
    else:
        shared = tuple(axis for axis, n in enumerate(_padded(view, rows)) if n == 1)
        total = np.add.reduce(found.reshape(rows.reduced), axis=shared, keepdims=True).reshape(view.shape)
    return total if total.dtype == view.dtype else memory.copied(total, np.empty(view.shape, dtype=view.dtype))
