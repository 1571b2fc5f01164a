"""The threshold tau of ``sum phi(z - tau) = k``, and the weights at it: once to solve, once to differentiate."""

import math
from functools import partial

from ._relaxations import Relaxation, excess_order, phi, step
from ._rule import Array
from ._scores import log_smallest

# Where values cannot be looked at and the framework has neither a loop of its own nor blocks to be run on, this many steps are unrolled;
# where it can stop early, it may take four times as many. A search of adversarial rows in the tests prints
# how many are needed: 9, 34, 40 and 62.
NEWTON_STEPS = 24
BRACKETED_STEPS = {"capped": 40, "sigmoid": 48, "entmax": 72}


def solved(ops, z: Array, keep: Array | None, alpha: Array | None, r: Relaxation, axes: tuple[int, ...]) -> Array:
    """Return the weights of scores shifted so that their largest (or k-th largest) is 0."""
    if _is_softmax(alpha, r):
        if ops.softmax is not None and len(axes) == 1:
            return _native_softmax(ops, z, keep, axes[0])
        return _settled(ops, phi(ops, z, keep, alpha, r)[0], keep, r, axes)
    tau = _threshold(ops, z, keep, alpha, r, axes)
    return _settled(ops, phi(ops, z - tau, keep, alpha, r)[0], keep, r, axes)


def _native_softmax(ops, z, keep, axis):
    if keep is None:
        return ops.softmax(z, axis)
    xp = ops.xp
    p = ops.softmax(xp.where(keep, z, -math.inf), axis)
    small = p < float(xp.finfo(p.dtype).smallest_normal)
    return xp.where(keep & ~small, p, 0.0)


def differentiable(
    ops, z: Array, keep: Array | None, alpha: Array | None, r: Relaxation, axes: tuple[int, ...]
) -> Array:
    """Return the same weights in operations that a framework differentiates exactly to second order.

    The threshold is solved on detached scores and then takes two Newton steps in differentiable operations:
    the first makes its first derivatives exact, the second its second.
    """
    xp = ops.xp
    tau = 0.0
    if not _is_softmax(alpha, r):
        tau = _threshold(ops, ops.detach(z), keep, None if alpha is None else ops.detach(alpha), r, axes)
        for _ in range(2):
            p, s = phi(ops, z - tau, keep, alpha, r)
            tau = tau + step(ops, xp.sum(p, axis=axes, keepdims=True), xp.sum(s, axis=axes, keepdims=True), alpha, r)
    p, _ = phi(ops, z - tau, keep, alpha, r)
    return _settled(ops, p, keep, r, axes)


def _is_softmax(alpha, r):
    return r.kind == "entmax" and alpha is None and r.alpha == 1


def _settled(ops, p, keep, r, axes):
    """Make the sum right to the last digits, or all of at most k kept entries 1; drop subnormal weights."""
    xp = ops.xp
    if r.k is not None:
        count = xp.sum(xp.astype(keep, p.dtype), axis=axes, keepdims=True)
        return xp.where((count <= r.k) & (ops.detach(p) == ops.detach(p)), xp.astype(keep, p.dtype), p)
    total = xp.sum(p, axis=axes, keepdims=True)
    if keep is None and r.alpha == 1:
        return p / total
    p = p / xp.where(ops.detach(total) == 0, 1.0, total)
    return xp.where(ops.detach(p) < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


def _threshold(ops, z, keep, alpha, r, axes):
    """Return tau, of the shape of z with the axes reduced and kept; the row of a NaN gets anything."""
    if ops.by_rows is not None:
        return ops.by_rows(partial(_threshold, r=r, axes=axes), z, keep, alpha, axes=axes)
    xp = ops.xp

    def sums(tau):
        p, s = phi(ops, z - tau, keep, alpha, r)
        return xp.sum(p, axis=axes, keepdims=True), xp.sum(s, axis=axes, keepdims=True)

    start = xp.zeros_like(xp.sum(z, axis=axes, keepdims=True))
    if r.kind == "entmax" and alpha is None and r.alpha is not None and r.alpha <= 2:
        return _newton(ops, sums, start, alpha, r)
    low, high = _bracket(ops, z, keep, start, alpha, r, axes)
    return _bracketed(ops, sums, low, high, alpha, r)


def _newton(ops, sums, tau, alpha, r):
    """Newton from ``tau = 0``, where the sum is at least 1: monotone, so it has ended when nothing rises."""
    xp = ops.xp

    def advance(state):
        tau, _ = state
        total, slope = sums(tau)
        new = tau + step(ops, total, slope, alpha, r)
        return xp.where(new > tau, new, tau), new > tau

    tau, _ = ops.iterate(advance, (tau, tau == tau), NEWTON_STEPS)
    return tau


def _bracket(ops, z, keep, start, alpha, r, axes):
    """Thresholds at which the sum is surely at least k, and surely at most k."""
    xp = ops.xp
    n = math.prod([z.shape[axis] for axis in axes])
    if r.kind == "capped":
        return start - 1, start
    if r.kind == "entmax":
        a = start + excess_order(alpha, r)
        safe = xp.where(a == 0, 1.0, a)
        return start, xp.where(a == 0, math.log(n), -xp.expm1(-safe * math.log(n)) / safe)
    level = xp.sum(xp.astype(keep & (z >= 0), z.dtype), axis=axes, keepdims=True) > r.k
    floor = log_smallest(ops, z.dtype)
    below = xp.max(xp.where(keep & (z < 0), z, floor), axis=axes, keepdims=True)
    return xp.where(level, 0.0, below) - math.log(r.k), start + math.log(max(n - r.k, 1))


def _bracketed(ops, sums, low, high, alpha, r):
    """Newton that stays within a bracket, with a bisection every third step."""
    xp = ops.xp
    eps = float(xp.finfo(low.dtype).eps)
    goal = 1 if r.k is None else r.k
    convex = r.kind != "entmax" or excess_order(alpha, r) <= 1

    def advance(state):
        tau, low, high, age, _ = state
        total, slope = sums(tau)
        low, high = xp.where(total >= goal, tau, low), xp.where(total < goal, tau, high)
        move = step(ops, total, slope, alpha, r)
        new = tau + move
        inside = (new > low) & (new < high) & (age < 2)
        size = 1 + xp.abs(tau)
        settled = (xp.abs(move) <= eps * size) & convex
        new = xp.where(settled | inside, new, (low + high) / 2)
        moved = ~settled & (high - low > eps * size) & (total == total)
        return new, low, high, xp.where(inside, age + 1, 0.0), moved

    state = (low, low, high, xp.zeros_like(low), low == low)
    return ops.iterate(advance, state, BRACKETED_STEPS[r.kind])[0]
