"""The namespace of arrays that are shards: what reduces an axis goes on in the other members of a group."""

import math
from typing import Any

from .._kernels.group import Group
from .._rules.rule import Array


class Across:
    """A namespace whose reductions along axes that have a group, of arrays of some rank, are collective."""

    def __init__(self, xp: Any, groups: dict[int, Group], ndim: int, drops_nan: bool):
        self._xp, self._groups, self._ndim, self._drops_nan = xp, groups, ndim, drops_nan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def crossed(self, x: Array, axis: Any) -> list[Group]:
        """Return the groups of the axes along which something is reduced."""
        if axis is None or x.ndim != self._ndim:
            return []
        axes = axis if isinstance(axis, tuple) else (axis,)
        return [group for a, group in self._groups.items() if a in [other % self._ndim for other in axes]]

    def sum(self, x, /, *, axis=None, keepdims=False):
        y = self._xp.sum(x, axis=axis, keepdims=keepdims)
        for group in self.crossed(x, axis):
            y = group.sum(y)
        return y

    def max(self, x, /, *, axis=None, keepdims=False):
        y, groups = self._xp.max(x, axis=axis, keepdims=keepdims), self.crossed(x, axis)
        if groups and self._drops_nan and self._xp.isdtype(x.dtype, "real floating"):
            y = self._xp.where(self._xp.any(x != x, axis=axis, keepdims=keepdims), math.nan, y)
        for group in groups:
            y = largest_of(self._xp, group, y)
        return y

    def min(self, x, /, *, axis=None, keepdims=False):
        if not self.crossed(x, axis):
            return self._xp.min(x, axis=axis, keepdims=keepdims)
        return -self.max(-x, axis=axis, keepdims=keepdims)

    def any(self, x, /, *, axis=None, keepdims=False):
        if not self.crossed(x, axis):
            return self._xp.any(x, axis=axis, keepdims=keepdims)
        return self.max(self._xp.astype(x, self._xp.int32), axis=axis, keepdims=keepdims) > 0

    def all(self, x, /, *, axis=None, keepdims=False):
        if not self.crossed(x, axis):
            return self._xp.all(x, axis=axis, keepdims=keepdims)
        return ~self.any(~x, axis=axis, keepdims=keepdims)

    def argmax(self, x, /, *, axis=None, keepdims=False):
        """The first index among all members."""
        xp, groups = self._xp, self.crossed(x, axis)
        first = xp.argmax(x, axis=axis, keepdims=keepdims)
        if not groups:
            return first
        (group,) = groups
        top = xp.max(x, axis=axis, keepdims=keepdims)
        start, n = span_of(xp, group)
        return -group.max(-xp.where(top == self.max(x, axis=axis, keepdims=keepdims), first + start, n))

    def _alone(self, name):
        """A function that goes along one axis: rules reach that of shards by other operations, and never by the shard alone."""
        f = getattr(self._xp, name)

        def alone(x, /, *, axis=-1, **options):
            if self.crossed(x, axis):
                raise RuntimeError(
                    f"A rule must go along an axis of shards by `running`, `before` or `kth_largest`, got `{name}`. Have it "
                    "use one of them: of a shard alone the result would be wrong."
                )
            return f(x, axis=axis, **options)

        return alone

    @property
    def sort(self):
        return self._alone("sort")

    @property
    def cumulative_sum(self):
        return self._alone("cumulative_sum")


def largest_of(xp: Any, group: Group, y: Array) -> Array:
    """Return the largest among the members, NaN where one is: compared as integers, which no maximum passes over."""
    if not xp.isdtype(y.dtype, "real floating"):
        return group.max(y)
    wide = y if xp.finfo(y.dtype).bits >= 32 else xp.astype(y, xp.float32)
    bits = group.bits(xp.where(wide != wide, math.nan, wide))  # of one NaN, which is above infinity
    most = int(xp.iinfo(bits.dtype).max)
    ordered = group.max(xp.where(bits < 0, bits ^ most, bits))
    return xp.astype(group.numbers(xp.where(ordered < 0, ordered ^ most, ordered), wide.dtype), y.dtype)


def span_of(xp: Any, group: Group) -> tuple[Any, int]:
    """Return how many entries of an axis lie before those of this member, and how many there are."""
    index, n = group.member(), sum(group.lengths)
    if isinstance(index, int):  # a shard without entries has one that is masked, and comes after all others
        return (sum(group.lengths[:index]) if group.lengths[index] else n), n
    return index * group.lengths[0], n  # which are equal where the member is not known
