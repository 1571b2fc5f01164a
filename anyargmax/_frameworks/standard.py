"""Namespaces of older versions of the Array API standard, with what the rules use of the newest."""

from functools import wraps
from typing import Any

from .._kernels.kernel import Ordering

FULL = "2024.12"  # the first version in which the rules need nothing of what is here
OLDEST = "2022.12"  # the first in which they can be served


def version_of(namespace: Any) -> str:
    """Return the version that a namespace names, which an option of its framework may change; the full one if it names none."""
    return getattr(namespace, "__array_api_version__", None) or FULL


def completed(namespace: Any) -> Any:
    """Return a namespace with all that the rules use: the same one, unless its version lacks some of that."""
    version = version_of(namespace)
    return namespace if version >= FULL else _Of2023(namespace) if version >= "2023.12" else _Of2022(namespace)


def ordering_of(namespace: Any) -> Ordering | None:
    """Return how a namespace sorts; None if it lacks one of the functions, of which some are optional for lazy arrays."""
    if not all(hasattr(namespace, name) for name in ("argsort", "sort", "take_along_axis")):
        return None

    def ordered(x, axis):
        sort, argsort = namespace.sort, namespace.argsort
        return sort(x, axis=axis, descending=True), argsort(x, axis=axis, descending=True)

    return Ordering(
        ordered=ordered,
        count=lambda condition, axis, dtype: namespace.sum(
            namespace.astype(condition, dtype), axis=axis, keepdims=True, dtype=dtype
        ),
        signs=lambda condition, dtype: 2 * namespace.astype(condition, dtype) - 1,
        gather=lambda x, axis, index: namespace.take_along_axis(x, index, axis=axis),
        fuses=lambda: False,
    )


class _Of2023:
    """Functions of two arrays take Python scalars from 2024.12 on."""

    def __init__(self, namespace: Any):
        self._namespace = namespace
        self.__name__ = namespace.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._namespace, name)

    def where(self, condition, x, y, /):
        return self._namespace.where(condition, *self._arrays(x, y))

    def maximum(self, x, y, /):
        return self._namespace.maximum(*self._arrays(x, y))

    def minimum(self, x, y, /):
        return self._namespace.minimum(*self._arrays(x, y))

    def _arrays(self, x, y):
        """Both as arrays: a scalar in the dtype of the other, and beside that."""
        if not hasattr(x, "dtype"):
            return self._beside(x, y), y
        return x, y if hasattr(y, "dtype") else self._beside(y, x)

    def _beside(self, scalar, x):
        return self._namespace.asarray(scalar, dtype=x.dtype, device=x.device)


class _Of2022(_Of2023):
    """Sums keep the dtype of floating numbers, and some functions are there, from 2023.12 on."""

    def __init__(self, namespace: Any):
        super().__init__(namespace)
        self.sum = self._in_its_dtype(namespace.sum)

    def _in_its_dtype(self, f):
        @wraps(f)
        def kept(x, /, *, axis=None, dtype=None, keepdims=False):
            floating = dtype is None and self._namespace.isdtype(x.dtype, "real floating")
            return f(x, axis=axis, dtype=x.dtype if floating else dtype, keepdims=keepdims)

        return kept

    def maximum(self, x, y, /):
        x, y = self._arrays(x, y)
        return self._namespace.where((x > y) | (x != x), x, y)

    def minimum(self, x, y, /):
        x, y = self._arrays(x, y)
        return self._namespace.where((x < y) | (x != x), x, y)

    def clip(self, x, low, high, /):
        x = x if low is None else self.maximum(x, low)
        return x if high is None else self.minimum(x, high)

    def moveaxis(self, x, source, destination, /):
        order = [axis for axis in range(x.ndim) if axis != source % x.ndim]
        order.insert(destination % x.ndim, source % x.ndim)
        return self._namespace.permute_dims(x, tuple(order))

    def cumulative_sum(self, x, /, *, axis):
        """By doubling: after each step, an entry is the sum of twice as many before it."""
        before, n, reach = (slice(None),) * (axis % x.ndim), x.shape[axis], 1
        while reach < n:
            first, but_last = x[(*before, slice(0, reach), ...)], x[(*before, slice(0, n - reach), ...)]
            rest = x[(*before, slice(reach, n), ...)] + but_last
            x = self._namespace.concat([first, rest], axis=axis)
            reach *= 2
        return x
