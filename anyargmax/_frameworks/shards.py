"""The operations on arrays that are shards: sums that travel together, and rules as their members record them."""

import math
from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

from .._kernels.group import Group
from .._rules.rule import Array, Rule
from .binding import Ops
from .collective import Across, span_of
from .protocol import attributes

LIMIT = 64  # operations; then all are forgotten
_made: dict[Hashable, Ops] = {}
# What an adapter has for arrays that are whole.
_OF_WHOLE = (
    *("cumulative_sum", "before", "blocks", "gathered", "by_rows"),
    *("jit", "opaque", "functions", "ordering", "memory", "compiler"),
)


class Sums:
    """What rules ask of the operations on shards beside the namespace: sums that travel together."""

    def __init__(self, ops: Ops, groups: dict[int, Group], across: Across):
        self.xp, self.concat, self.cumulative_sum, self.place = ops.xp, ops.concat, ops.cumulative_sum, ops.place
        self.groups, self.across = groups, across

    def span(self, x: Array, axis: int) -> tuple[Any, int]:
        return span_of(self.xp, self.groups[axis]) if axis in self.groups else (0, x.shape[axis])

    def totals(self, axes, *arrays, keepdims=True):
        """Return the sums of arrays along the axes: one collective operation for all, or what a compiler makes one of."""
        xp, sums = self.xp, [self.xp.sum(x, axis=axes, keepdims=keepdims) for x in arrays]
        groups = self.across.crossed(arrays[0], axes) if arrays else []
        if not groups:
            return tuple(sums)
        if len(sums) == 1 or groups[0].combines:
            for group in groups:
                sums = [group.sum(y) for y in sums]
            return tuple(sums)
        shape = max((y.shape for y in sums), key=math.prod)
        stacked = xp.stack([xp.broadcast_to(y, shape) for y in sums], axis=0)
        for group in groups:
            stacked = group.sum(stacked)
        return tuple(stacked[k, ...] for k in range(len(sums)))

    def row_zeros(self, x, axes):
        """Return zeros of the shape of x with the axes reduced and kept, which all members have alike."""
        known = all(isinstance(group.member(), int) for group in self.groups.values())
        return self.xp.zeros_like((self.xp if known else self.across).sum(x, axis=axes, keepdims=True))

    def running(self, x, axis, *others):
        """Return cumulative sums, totals, first entries and what is one entry ahead, by one exchange of the ends of shards."""
        before = (slice(None),) * axis
        below, total = self.cumulative_sum(x, axis=axis), self.xp.sum(x, axis=axis, keepdims=True)
        ends = [tuple(c[(*before, part, ...)] for part in _ends(c.shape[axis])) for c in others]
        if axis not in self.groups:
            made = [(first, self.concat([rest, last], axis=axis)) for first, rest, last in ends]
            return below, total, *(y for pair in made for y in pair)
        group = self.groups[axis]
        totals, *firsts = self._gathered(group, total, *(first for first, *_ in ends))
        members = self.xp.arange(totals.shape[0], **self.place(totals))
        earlier = self._selected(totals, members < group.member())
        made = []
        for c, first, (_, rest, last) in zip(others, firsts, ends, strict=True):
            ahead = c if _is_empty(group) else self.concat([rest, self._ahead(first, last, group)], axis=axis)
            made += [first[_first_of(group), ...], ahead]
        return below + earlier, self.xp.sum(totals, axis=0), *made

    def _gathered(self, group, *arrays):
        """Gather arrays of different shapes at once."""
        xp, sizes = self.xp, [math.prod(a.shape) for a in arrays]
        flat = group.gather(self.concat([xp.reshape(a, (-1,)) for a in arrays], axis=0))
        stops = [sum(sizes[: k + 1]) for k in range(len(sizes))]
        return [
            xp.reshape(flat[:, stop - size : stop], (flat.shape[0], *a.shape))
            for a, size, stop in zip(arrays, sizes, stops, strict=True)
        ]

    def _selected(self, gathered, is_taken):
        """The sum over the members that are taken. It is made of the numbers of all, so that all members do the same."""
        taken = self.xp.reshape(is_taken, (-1, *(1 for _ in gathered.shape[1:])))
        return self.xp.sum(self.xp.where(taken, gathered, 0), axis=0)

    def _ahead(self, firsts, last, group):
        """The first entry of the next member that has any; the last of all is repeated."""
        index, members = group.member(), self.xp.arange(firsts.shape[0], **self.place(firsts))
        is_next = members == (_next(group, index) if isinstance(index, int) else index + 1)
        return self.xp.where(self.xp.any(is_next), self._selected(firsts, is_next), last)

    def kth_largest(self, x, k):
        """The k-th largest entry along the last axis, of the largest of each member."""
        xp, group = self.xp, self.groups[max(self.groups)]
        n = x.shape[-1]
        most = min(k, max(group.lengths))
        top = group.top(x, min(most, n))
        if top.shape[-1] < most:
            low = -math.inf if xp.isdtype(x.dtype, "real floating") else xp.iinfo(x.dtype).min
            fill = xp.zeros_like(top[..., :1]) + low
            top = self.concat([top, *[fill] * (most - top.shape[-1])], axis=-1)
        gathered = xp.moveaxis(group.gather(top), 0, -2)
        flat = xp.reshape(gathered, (*top.shape[:-1], most * len(group.lengths)))
        return xp.min(group.top(flat, k), axis=-1, keepdims=True)


def _ends(n: int) -> tuple[slice, slice, slice]:
    """The first entry, all others, and the last one."""
    return slice(1), slice(1, None), slice(n - 1, None)


def _is_empty(group: Group) -> bool:
    """Whether this member has no entry but one that is masked."""
    index = group.member()
    return isinstance(index, int) and group.lengths[index] == 0


def _first_of(group: Group) -> int:
    """The first member that has any entry."""
    return next(m for m, n in enumerate(group.lengths) if n)


def _next(group: Group, index: int) -> int:
    """The next member that has any entry; after the last one, a number that no member has."""
    return next((m for m, n in enumerate(group.lengths) if n and m > index), len(group.lengths))


def _alike(rule: Rule, groups: tuple[Group, ...]) -> Rule:
    """Return a rule whose products say what all members have alike: answers and arguments with one number a row."""

    def entered(x):
        for group in groups:
            x = group.entered(x)
        return x

    def pulled(product, is_row):
        def vjp(ops, g, y, *args, **static):
            if rule.reduces:
                g, y = entered(g), entered(y)
            made = product(ops, g, y, *args, **static)
            for group in groups if is_row else ():
                made = group.shared(made)
            return made

        return vjp

    vjps = tuple(pulled(product, k in rule.rows) for k, product in enumerate(rule.vjps))
    return rule._replace(vjps=vjps)


def _lifting(lift, groups: tuple[Group, ...]):
    """A function that lifts rules as `lift` does, for shards."""

    def lifted(rule: Rule, ops: Ops):
        if rule.inlined and not rule.reduces:
            return lift(rule, ops)
        recorded = lift(_alike(rule, groups)._replace(inlined=False), ops)
        if not rule.inlined:
            return recorded

        def readout(p, positions, **static):
            """Positions that have a gradient are among what is recorded."""
            if not ops.is_recorded(*positions):
                return recorded(p, positions, **static)
            y = rule.composite(ops, p, positions, **static)
            for group in groups:
                y = group.left(y)
            return y

        return readout

    return lifted


def among(ops: Ops, groups: dict[int, Group], ndim: int) -> Ops:
    """Return the operations on arrays of some rank that are shards along the axes that have a group."""
    key = ops.name, ndim, tuple((axis, group.name, group.lengths) for axis, group in groups.items())
    found = _made.get(key)
    if found is None:
        if len(_made) >= LIMIT:
            _made.clear()
        _made[key] = found = Ops(_adapter(ops, groups, ndim))
        found.whole = ops
    return found


def _adapter(ops: Ops, groups: dict[int, Group], ndim: int) -> SimpleNamespace:
    """The adapter of a framework for shards: nothing is decided by the values of one of them."""
    given = attributes(ops.adapter)
    across = Across(ops.xp, groups, ndim, ops.maximum_drops_nan)
    sums = Sums(ops, groups, across)
    never: Any = lambda x: False  # noqa: E731
    changed = {
        "namespace": across,
        "lift": _lifting(given["lift"], tuple(groups.values())),
        "groups": groups,
        "totals": sums.totals,
        "running": sums.running,
        "row_zeros": sums.row_zeros,
        "span": sums.span,
        "kth_largest": sums.kth_largest,
        "is_cheap_to_read": never,
        "widens": never,
        "folds": never,
        "maximum_drops_nan": False,
        **dict.fromkeys(_OF_WHOLE),
        "kernels": (),
        "traits": None,
    }
    return SimpleNamespace(**given | changed)
