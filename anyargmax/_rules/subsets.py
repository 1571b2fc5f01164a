"""Sums over the k-subsets of rows in a binary tree: polynomials whose coefficient j belongs to j members.

A leaf is ``q + p t``, where p is the weight of an entry that is a member and q of one that is not. A node is the product of
its children, so that its coefficients are the weights of 0, 1, ... members among its leaves. Outside of a node are all
other leaves: their polynomial is the product of that of its parent and the node of its sibling. All terms are positive.
No node has coefficients above k, and outside of a node only those count that its leaves can complete to k members.

The coefficients lie along the first axis, the nodes along the second, then come the axes of rows. The children of node a of
M parents are the nodes a and a + M of the level below, so that node a has the leaves a, a + M, a + 2 M, ...

Where rows are cut into blocks, such as those of several devices, the axis of blocks is the third: each block has a tree, and
the roots of all are the leaves of another, whose levels have no axis of blocks.
"""

import math
from itertools import pairwise

from .ops import RuleOps
from .rule import Array

DIRECT = 12  # so many terms at most are added one after the other; more in blocks, which makes a shorter program
FEW = 2  # so many are not worth a loop of a compiler


def _cut(x: Array, low: int, high: int) -> Array:
    """Return entries along the first axis; x itself if these are all: torch cannot batch a view of the whole."""
    return x if (low, high) == (0, x.shape[0]) else x[low:high, ...]


def _zeros(ops: RuleOps, x: Array, count: int) -> list[Array]:
    """Return so many zeros along the first axis, in a list: none for 0. Lengths of other axes need not be known.

    They are NaN in the row of one. A product, unlike `zeros_like`, keeps what a namespace knows of lengths.
    """
    if count <= 0:
        return []
    zeros = 0 * _cut(x, 0, 1)
    while zeros.shape[0] < count:
        zeros = ops.concat([zeros, zeros], axis=0)
    return [_cut(zeros, 0, count)]


def _between(ops: RuleOps, before: int, x: Array, after: int) -> Array:
    """Return x with zeros before and after it along the first axis."""
    parts = [*_zeros(ops, x, before), x, *_zeros(ops, x, after)]
    return ops.concat(parts, axis=0) if len(parts) > 1 else x


def _sum_of_shifts(a: list[Array], window) -> Array:
    """Return ``sum_s a_s window(s)``, a term after the other."""
    total = a[0] * window(0)
    for s, factor in enumerate(a[1:], 1):
        total = total + factor * window(s)
    return total


def convolved(ops: RuleOps, a: Array, b: Array, start: int, size: int) -> Array:
    """Return so many coefficients of the product of two polynomials, from one on. It is linear in b."""
    count = a.shape[0]
    blocks = 1 if count <= DIRECT or ops.sum_of_shifts else math.isqrt(count - 1) + 1
    length = -(-count // blocks)
    before = max(0, blocks * length - 1 - start)
    b = _between(ops, before, b, start + size - b.shape[0])
    first = before + start
    if ops.sum_of_shifts and count > FEW:
        return ops.sum_of_shifts(a, b, first, size)
    if blocks == 1:
        return _sum_of_shifts([_cut(a, s, s + 1) for s in range(count)], lambda s: _cut(b, first - s, first - s + size))
    a = filled(ops, a, blocks * length)
    a = ops.xp.stack([a[c * length : (c + 1) * length, ...] for c in range(blocks)], axis=0)
    lows = [first - (c + 1) * length + 1 for c in range(blocks)]
    b = ops.xp.stack([b[low : low + size + length - 1, ...] for low in lows], axis=0)
    low = length - 1
    parts = _sum_of_shifts([a[:, s : s + 1, ...] for s in range(length)], lambda s: b[:, low - s : low - s + size, ...])
    return ops.xp.sum(parts, axis=0)


def halves(a: Array) -> tuple[Array, Array]:
    """Return the left and the right children among the nodes of a level."""
    count = a.shape[1] // 2
    return a[:, :count, ...], a[:, count:, ...]


def _siblings(ops: RuleOps, a: Array) -> Array:
    left, right = halves(a)
    return ops.concat([right, left], axis=1)


def leaves(ops: RuleOps, none: Array, one: Array) -> Array:
    """Return the leaves ``none + one t`` of entries along the first axis, filled up to a power of 2 with 1."""
    missing = max(2, 1 << (one.shape[0] - 1).bit_length()) - one.shape[0]
    more = _zeros(ops, one, missing)
    fill = [1 + zeros for zeros in more]
    return ops.xp.stack([ops.concat([none, *fill], axis=0), ops.concat([one, *more], axis=0)], axis=0)


def filled(ops: RuleOps, x: Array, count: int) -> Array:
    """Return x with zeros behind it along the first axis, up to so many entries."""
    return _between(ops, 0, x, count - x.shape[0])


def _width(a: Array, k: int) -> int:
    """How many coefficients the parents of nodes have."""
    return min(2 * (a.shape[0] - 1), k) + 1


def grown(ops: RuleOps, leaf: Array, k: int) -> list[Array]:
    """Return the levels of the tree, from the leaves to the two children of the root."""
    levels = [leaf]
    while levels[-1].shape[1] > 2:
        levels.append(_parents(ops, levels[-1], k))
    return levels


def grown_in_blocks(ops: RuleOps, leaf: Array, k: int) -> list[Array]:
    """Return the levels of the trees of blocks, but for their roots, and of the tree of these."""
    levels = grown(ops, leaf, k)
    root = _parents(ops, levels[-1], k)
    return levels + grown(ops, _joined(ops, root, one=True), k)


def _parents(ops: RuleOps, a: Array, k: int) -> Array:
    left, right = halves(a)
    return convolved(ops, left, right, 0, _width(left, k))


def _joined(ops: RuleOps, root: Array, one: bool) -> Array:
    """Return the roots of blocks as leaves, filled up to a power of 2 with 1 or 0."""
    a = ops.gathered(root, 2)[:, 0, ...]
    missing = max(2, 1 << (a.shape[1] - 1).bit_length()) - a.shape[1]
    if missing == 0:
        return a
    zeros = ops.concat([0 * a[:, :1, ...]] * missing, axis=1)
    more = ops.concat([1 + zeros[:1, ...], zeros[1:, ...]], axis=0) if one else zeros
    return ops.concat([a, more], axis=1)


def _above(ops: RuleOps, found: Array, a: Array) -> Array:
    """Return, for both children of each node above a level, what was found for the node: nodes may be roots of blocks."""
    if found.ndim < a.ndim:
        found = ops.xp.expand_dims(found[:, : a.shape[2], ...], axis=1)
    return ops.concat([found, found], axis=1)


def _outside_children(ops: RuleOps, top: Array, k: int) -> Array:
    """What is outside of the children of the root: each other, of which those coefficients count that complete k."""
    width = top.shape[0]
    return _cut(filled(ops, _siblings(ops, top), k + 1), k + 1 - width, k + 1)


def outside(ops: RuleOps, levels: list[Array], k: int) -> Array:
    """Return, for each leaf, the weights of ``k - 1`` and of k members among all other leaves."""
    found = _outside_children(ops, levels[-1], k)
    for a in reversed(levels[:-1]):
        start = found.shape[0] - a.shape[0]
        found = convolved(ops, _siblings(ops, a), _above(ops, found, a), start, a.shape[0])
    return found


def moments(ops: RuleOps, levels: list[Array], moved: Array, k: int) -> tuple[Array, Array]:
    """Return what `outside` does, and beside it the same with each subset's weight times a sum over its members.

    `moved` are the weights of leaves times what an entry adds to the sum, with the shape of leaves. All is linear in it.
    """
    sums = [moved]
    for a, above in pairwise(levels):
        left, right = halves(convolved(ops, a, _siblings(ops, sums[-1]), 0, _width(a, k)))
        both = left + right
        sums.append(_joined(ops, both, one=False) if both.ndim > above.ndim else both)
    found, first = (_outside_children(ops, top, k) for top in (levels[-1], sums[-1]))
    for a, m in zip(reversed(levels[:-1]), reversed(sums[:-1]), strict=True):
        start, width, both = found.shape[0] - a.shape[0], a.shape[0], _above(ops, found, a)
        other = _siblings(ops, a)
        first = convolved(ops, other, _above(ops, first, a), start, width) + convolved(
            ops, both, _siblings(ops, m), start, width
        )
        found = convolved(ops, other, both, start, width)
    return found, first
