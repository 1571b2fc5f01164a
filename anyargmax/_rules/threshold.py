"""The threshold tau of ``sum phi(z - tau) = k``, and the weights at it: once to solve, once to differentiate."""

import math
from functools import partial

from .ops import RuleOps
from .relaxations import Relaxation
from .rule import Array


def solved(
    ops: RuleOps, z: Array, keep: Array | None, alpha: Array | None, r: Relaxation, axes: tuple[int, ...]
) -> Array:
    """Return the weights of scores shifted so that their largest (or k-th largest) is 0."""
    if r.alpha == 1:
        return _settled(ops, r.value(ops, z, keep, None)[0], keep, r, axes)
    order = r.order(alpha)
    form = r.form(ops, r, z, order, axes)
    root = root_of(ops, z, keep, alpha, form, axes)
    return _settled(ops, form.weights(ops, form, root, z, keep, order, axes), keep, r, axes)


def differentiable(
    ops: RuleOps, z: Array, keep: Array | None, alpha: Array | None, r: Relaxation, axes: tuple[int, ...]
) -> Array:
    """Return the same weights in operations that a framework differentiates exactly to second order.

    The threshold is solved on detached scores and then takes two Newton steps in differentiable operations:
    the first makes its first derivatives exact, the second its second.
    """
    if r.alpha == 1:
        return _settled(ops, r.value(ops, z, keep, None)[0], keep, r, axes)
    if r.k is not None:  # where all that are kept win, nothing moves, and a step has no derivative
        z = ops.xp.where(are_winners(ops, keep, r, axes), ops.detach(z), z)
    order = r.order(alpha)
    form = r.form(ops, r, z, order, axes)
    root = root_of(ops, ops.detach(z), keep, None if alpha is None else ops.detach(alpha), form, axes)
    for _ in range(2):
        root = root + form.step(ops, root, z, keep, order, axes, form.last_move)[0]
    p = form.weights(ops, form, root, z, keep, order, axes)
    return _settled(ops, p if r.k is None else ops.xp.where(keep, p, 0.0), keep, r, axes)


def are_winners(ops: RuleOps, keep, r, axes):
    """Whether at most k scores of a row are kept: all of them have weight 1."""
    return ops.xp.sum(ops.xp.astype(keep, ops.xp.int32), axis=axes, keepdims=True) <= r.k


def _settled(ops: RuleOps, p, keep, r, axes):
    """Make the sum right to the last digits, or all of at most k kept entries 1; drop subnormal weights."""
    xp = ops.xp
    if r.k is not None:
        total, count = ops.totals(axes, ops.detach(p), xp.astype(keep, p.dtype))
        p, winners = p * (1 + 0 * total), count <= r.k  # NaN everywhere in the row of a NaN
        return xp.where(winners & (ops.detach(p) == ops.detach(p)), xp.astype(keep, p.dtype), p)
    total = xp.sum(p, axis=axes, keepdims=True)
    if keep is None and r.alpha == 1:
        return p / total
    p = p / xp.where(ops.detach(total) == 0, 1.0, total)
    return xp.where(ops.detach(p) < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


def root_of(ops: RuleOps, z, keep, alpha, r, axes):
    """Return the unknown of a relaxation, of the shape of z with the axes reduced and kept; the row of a NaN gets anything."""
    return ops.by_rows(partial(_root_of_rows, r=r, axes=axes), z, keep, alpha, axes=axes)


def _root_of_rows(ops: RuleOps, z, keep, alpha, r, axes):
    order = r.order(alpha)
    if r.bracket is None:
        start = ops.row_zeros(z, axes)
        return ops.search(partial(_newton, r=r), (start, start == start), z, keep, order, r, axes)
    low, high = r.bracket(ops, z, keep, axes, r.k)
    state = low, low, high, ops.xp.full_like(low, math.inf), low == low
    return ops.search(partial(_bracketed, r=r), state, z, keep, order, r, axes)


def _newton(ops: RuleOps, state, sums, order, r):
    """Newton from ``tau = 0``, where the sum is at least 1: monotone, so it has ended when nothing rises."""
    tau, _ = state
    new = tau + r.move(ops, r, tau, sums, order)[0]
    return ops.xp.where(new > tau, new, tau), new > tau


def _bracketed(ops: RuleOps, state, sums, order, r):
    """Newton that stays within a bracket, with a bisection where a step would not be half as long as the last."""
    xp = ops.xp
    root, low, high, last, _ = state
    eps, convex = float(xp.finfo(low.dtype).eps), r.is_convex(order)
    move, over = r.move(ops, r, root, sums, order)
    low, high = xp.where(over >= 0, root, low), xp.where(over < 0, root, high)
    new = root + move
    inside = (new > low) & (new < high) & (xp.abs(move) <= last / 2)
    size = r.shortest + xp.abs(root)
    least = -1.0 if convex is False else eps * size
    settled = xp.abs(move) <= (least if isinstance(convex, bool) else xp.where(convex, least, -1.0))
    new = xp.where(settled | inside, new, (low + high) / 2)
    moved = ~settled & (high - low > eps * size) & (over == over)
    return new, low, high, xp.abs(new - root), moved
