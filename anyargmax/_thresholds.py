"""The threshold tau of ``sum phi(z - tau) = k``, and the weights at it: once to solve, once to differentiate.

Where alpha is large, or rows are very long, weights are too small for a threshold: ``1 - (alpha - 1) tau`` has no
digits left. With q for the largest weight, they are ``p_i = q phi(z_i q^(1 - alpha))``, which loses none.
"""

import math
from functools import partial

from ._relaxations import Relaxation, excess_order, norm_step, parts, phi
from ._rule import Array
from ._scores import log_smallest

# Where values cannot be looked at and the framework has neither a loop of its own nor blocks to be run on, this many steps are unrolled;
# where it can stop early, it may take four times as many. A search of adversarial rows in the tests prints
# how many are needed: 9, 7, 21 and 62.
NEWTON_STEPS = 24
BRACKETED_STEPS = {"capped": 24, "sigmoid": 32, "entmax": 72}


def solved(ops, z: Array, keep: Array | None, alpha: Array | None, r: Relaxation, axes: tuple[int, ...]) -> Array:
    """Return the weights of scores shifted so that their largest (or k-th largest) is 0."""
    if _is_softmax(alpha, r):
        if ops.softmax is not None and len(axes) == 1:
            return _native_softmax(ops, z, keep, axes[0])
        return _settled(ops, phi(ops, z, keep, alpha, r)[0], keep, r, axes)
    root = _root(ops, z, keep, alpha, r, axes)
    return _settled(ops, _weights_at(ops, root, z, keep, alpha, r, axes), keep, r, axes)


def _native_softmax(ops, z, keep, axis):
    if keep is None:
        return ops.softmax(z, axis)
    xp = ops.xp
    # Not -inf: a row of those alone has weights 0, a row with NaN has NaN everywhere.
    p = ops.softmax(xp.where(keep, z, 2 * log_smallest(ops, z.dtype)), axis)
    small = p < float(xp.finfo(p.dtype).smallest_normal)
    return xp.where(keep & ~small, p, p * 0)


def differentiable(
    ops, z: Array, keep: Array | None, alpha: Array | None, r: Relaxation, axes: tuple[int, ...]
) -> Array:
    """Return the same weights in operations that a framework differentiates exactly to second order.

    The threshold is solved on detached scores and then takes two Newton steps in differentiable operations:
    the first makes its first derivatives exact, the second its second.
    """
    if _is_softmax(alpha, r):
        return _settled(ops, phi(ops, z, keep, alpha, r)[0], keep, r, axes)
    root = _root(ops, ops.detach(z), keep, None if alpha is None else ops.detach(alpha), r, axes)
    for _ in range(2):
        root = root + _at(ops, root, z, keep, alpha, r, axes, solved=True)[1]
    p = _weights_at(ops, root, z, keep, alpha, r, axes)
    return _settled(ops, p if r.k is None else ops.xp.where(keep, p, 0.0), keep, r, axes)


def _is_softmax(alpha, r):
    return r.kind == "entmax" and alpha is None and r.alpha == 1


def _has_small_weights(ops, z, alpha, r, axes) -> bool:
    """Whether weights as small as those of a row of ties may be lost in the digits of a threshold."""
    if r.kind != "entmax":
        return False
    if alpha is not None or r.alpha > 2:
        return True
    sizes = [z.shape[axis] for axis in axes]
    known = all(isinstance(n, int) for n in sizes)  # exports have symbols
    return known and math.prod(sizes) ** (r.alpha - 1) * float(ops.xp.finfo(z.dtype).eps) > 2.0**-4


def _at(ops, root, z, keep, alpha, r, axes, solved=False):
    """Return the Newton step from a threshold, or from minus the largest weight, behind the weights of entmax there; and ``sum p - k``.

    Beside an infinite slope a step leaves the root. From where that is solved it has a derivative there and no length.
    """
    xp = ops.xp
    total = partial(xp.sum, axis=axes, keepdims=True)
    if r.kind != "entmax":
        rest, whole, s = parts(ops, z - root, keep, r)
        over = total(rest) + (total(whole) - r.k)
        return None, over / _not_vanishing(ops, total(s)), over
    if not _has_small_weights(ops, z, alpha, r, axes):
        p, s = phi(ops, z - root, keep, alpha, r)
        return p, norm_step(ops, total(p), total(s), r), None
    largest = -root
    power = -excess_order(alpha, r) * xp.log(largest)
    most = math.log(float(xp.finfo(z.dtype).max))
    e, s = phi(ops, z * xp.exp(xp.where(ops.detach(power) > most, most, power)), keep, alpha, r)
    p = largest * e
    over, slope = total(p) - 1, total(s)
    over = over - ops.detach(over) if solved else over
    return p, over / _not_vanishing(ops, slope), over


def _weights_at(ops, root, z, keep, alpha, r, axes):
    return phi(ops, z - root, keep, alpha, r)[0] if r.kind != "entmax" else _at(ops, root, z, keep, alpha, r, axes)[0]


def _not_vanishing(ops, slope):
    """A slope whose square does not underflow, by which a derivative of the step would be divided."""
    least = float(ops.xp.finfo(slope.dtype).smallest_normal) ** 0.5
    return ops.xp.where(ops.detach(slope) < least, least, slope)


def _settled(ops, p, keep, r, axes):
    """Make the sum right to the last digits, or all of at most k kept entries 1; drop subnormal weights."""
    xp = ops.xp
    if r.k is not None:
        count = xp.sum(xp.astype(keep, xp.int32), axis=axes, keepdims=True)
        p = p * (1 + 0 * xp.sum(ops.detach(p), axis=axes, keepdims=True))  # NaN everywhere in the row of a NaN
        return xp.where((count <= r.k) & (ops.detach(p) == ops.detach(p)), xp.astype(keep, p.dtype), p)
    total = xp.sum(p, axis=axes, keepdims=True)
    if keep is None and r.alpha == 1:
        return p / total
    p = p / xp.where(ops.detach(total) == 0, 1.0, total)
    return xp.where(ops.detach(p) < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


def _root(ops, z, keep, alpha, r, axes):
    """Return tau, or minus the largest weight, of the shape of z with the axes reduced and kept; the row of a NaN gets anything."""
    if ops.by_rows is not None:
        return ops.by_rows(partial(_root, r=r, axes=axes), z, keep, alpha, axes=axes)

    def at(root):
        return _at(ops, root, z, keep, alpha, r, axes)

    start = ops.xp.zeros_like(ops.xp.sum(z, axis=axes, keepdims=True))
    if r.kind == "entmax" and not _has_small_weights(ops, z, alpha, r, axes):
        return _newton(ops, at, start)
    low, high = _bracket(ops, z, keep, start, r, axes)
    if r.kind == "sigmoid":
        return _bracketed(ops, partial(_by_odds, ops, at, keep, r, axes), low, high, alpha, r)
    return _bracketed(ops, at, low, high, alpha, r)


def _by_odds(ops, at, keep, r, axes, root):
    """Take the Newton step on the logarithm of the odds ``sum p : n - sum p``, which is nearly linear in the threshold."""
    xp = ops.xp
    _, move, over = at(root)
    count = xp.sum(xp.astype(keep, over.dtype), axis=axes, keepdims=True)
    rest = xp.where(count > r.k, count - r.k, 1.0)
    odds = xp.log1p(over / r.k) - xp.log1p(-over / rest)
    factor = (over + r.k) * (rest - over) / (rest + r.k) * odds / xp.where(over == 0, 1.0, over)
    return None, xp.where((over == 0) | (factor != factor), move, move * factor), over


def _newton(ops, at, tau):
    """Newton from ``tau = 0``, where the sum is at least 1: monotone, so it has ended when nothing rises."""
    xp = ops.xp

    def advance(state):
        tau, _ = state
        new = tau + at(tau)[1]
        return xp.where(new > tau, new, tau), new > tau

    tau, _ = ops.iterate(advance, (tau, tau == tau), NEWTON_STEPS)
    return tau


def _bracket(ops, z, keep, start, r, axes):
    """Roots at which the sum is surely at least k, and surely at most k."""
    xp = ops.xp
    n = math.prod([z.shape[axis] for axis in axes])
    if r.kind == "capped":
        return start - 1, start
    if r.kind == "entmax":
        return start - 1, start - 1 / n
    level = xp.sum(xp.astype(keep & (z >= 0), xp.int32), axis=axes, keepdims=True) > r.k
    floor = log_smallest(ops, z.dtype)
    below = xp.max(xp.where(keep & (z < 0), z, floor), axis=axes, keepdims=True)
    return xp.where(level, 0.0, below) - math.log(r.k), start + math.log(max(n - r.k, 1))


def _bracketed(ops, at, low, high, alpha, r):
    """Newton that stays within a bracket, with a bisection where a step would not be half as long as the last."""
    xp = ops.xp
    eps = float(xp.finfo(low.dtype).eps)
    shortest = 0 if r.kind == "entmax" else 1  # a threshold may be near 0, a largest weight has all its digits
    convex = excess_order(alpha, r) <= 1 if r.kind == "entmax" else True
    if isinstance(convex, bool):
        convex = (low == low) if convex else (low != low)

    def advance(state):
        root, low, high, last, _ = state
        _, move, over = at(root)
        low, high = xp.where(over >= 0, root, low), xp.where(over < 0, root, high)
        new = root + move
        inside = (new > low) & (new < high) & (xp.abs(move) <= last / 2)
        size = shortest + xp.abs(root)
        settled = xp.abs(move) <= xp.where(convex, eps * size, -1.0)
        new = xp.where(settled | inside, new, (low + high) / 2)
        moved = ~settled & (high - low > eps * size) & (over == over)
        return new, low, high, xp.abs(new - root), moved

    state = (low, low, high, xp.full_like(low, math.inf), low == low)
    return ops.iterate(advance, state, BRACKETED_STEPS[r.kind])[0]
