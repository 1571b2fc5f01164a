"""Thresholds in few operations: by sorting, or by a fixed number of Newton's steps.

No value is looked at and no entry is masked: a score at ``-inf`` has weight 0 wherever the threshold is.
Scores z are shifted so that the largest (of k winners, the k-th largest) is 0.
"""

from ..._rules.rule import Array
from ..kernel import KernelOps

SORTED = (1.5, 2.0)  # orders whose threshold has a closed form for sorted scores
# From this inverse order on, a power shows the rounding of its base: log1p of what the base is above 1 does not.
ROUNDED = 8.0


def _total(ops: KernelOps, x, axis):
    return ops.xp.sum(x, axis=axis, keepdims=True)


def steps(alpha: float) -> int:
    """Return how many of Newton's steps reach the last digit: one or more beyond what any row of a search needed."""
    return 8 if alpha <= 1.25 else 11 if alpha <= 1.5 else 16


def _powers(ops: KernelOps, u, root, alpha: float):
    """Return the weights ``w^b``, and ``w^(b-1)``, of ``w = [u - root]_+``, ``u = (alpha - 1) z`` and ``b = 1 / (alpha - 1)``.

    From an order on, the root is what is added to 1 in w.
    """
    xp, b, w = ops.xp, 1 / (alpha - 1), u - root
    if b >= ROUNDED:
        log = xp.log1p(xp.clip(w, -1.0, None))
        return xp.exp(log * b), xp.exp(log * (b - 1))
    w = xp.clip(w, 0.0, None)
    if alpha == 2:
        return w, xp.where(w > 0, 1.0, w)
    return (w * w, w) if alpha == 1.5 else (w**b, w ** (b - 1))


def weights_at(ops: KernelOps, u: Array, root: Array, alpha: float) -> Array:
    """Return the weights at a threshold."""
    return _powers(ops, u, root, alpha)[0]


def stepped(ops: KernelOps, u: Array, root: Array, alpha: float, axis: int) -> Array:
    """Return the root after a step of Newton's on the norm ``(sum w^b)^(1/b) = 1``, which is not passed from below."""
    p, s = _powers(ops, u, root, alpha)
    total = _total(ops, p, axis)
    return root + (total - (1.0 if alpha == 2 else total ** (2 - alpha))) / _total(ops, s, axis)


def by_steps(ops: KernelOps, u: Array, alpha: float, axis: int) -> Array:
    """Return the root after so many steps that a compiled loop needs no test."""
    # The first is the root at which the largest score alone has weight 1.
    root = ops.xp.zeros_like(_total(ops, u, axis)) - (1.0 if 1 / (alpha - 1) < ROUNDED else 0.0)
    for _ in range(steps(alpha)):
        root = stepped(ops, u, root, alpha, axis)
    return root


def by_sorting(ops: KernelOps, u: Array, alpha: float, axis: int) -> Array:
    """Return the root of sparsemax or 1.5-entmax from sums of the largest scores, and a step to the last digits.

    Martins and Astudillo (2016), proposition 1; Peters, Niculae and Martins (2019), algorithm 2.
    """
    xp, n = ops.xp, u.shape[axis]
    x, _ = ops.ordering.ordered(xp.clip(u, -1.0, None), axis)
    count = xp.reshape(xp.arange(1, n + 1, dtype=u.dtype, **ops.place(u)), (-1,) + (1,) * (u.ndim - axis - 1))
    roots = (ops.cumulative_sum(x, axis=axis) - 1) / count
    if alpha == 1.5:  # the mean, and the root of 1 / count - the variance
        mean = roots + 1 / count
        roots = mean - xp.sqrt(xp.clip(mean * mean - (ops.cumulative_sum(x * x, axis=axis) - 1) / count, 0.0, None))
    # The roots of the leading scores rise until one of those is below its own.
    root = xp.max(xp.where(roots <= x, roots, -1.0), axis=axis, keepdims=True)
    return stepped(ops, u, root, alpha, axis)


def of_winners(ops: KernelOps, z: Array, k: int, axis: int) -> Array:
    """Return the root of ``sum clip(z - root, 0, 1) = k``, of scores clipped to [-1, 1], and -1 if no root is above that.

    The sum is piecewise linear. From the largest score down, it grows by 1 for each score that has been reached, until the
    weight of that is 1. The root is on the line from the last of these ends at which the sum is less than k.
    """
    xp, n = ops.xp, z.shape[axis]
    ends, order = ops.ordering.ordered(xp.concat([z, z - 1], axis=axis), axis)
    sign = ops.ordering.signs(order < n, z.dtype)
    slope, sums = ops.cumulative_sum(sign, axis=axis), ops.cumulative_sum(sign * ends, axis=axis)
    # In the row of a NaN, too, there is such an end.
    last = 2 * n - 1 - ops.ordering.count(sums - slope * ends >= k, axis, order.dtype)
    # Where all that are left win, the sum is k up to its last digits, at most, and has no slope: the root is -1.
    flat = xp.clip(1.0 - slope, 0.0, None)
    root = xp.clip(ops.ordering.gather((sums - k - flat) / xp.clip(slope, 1.0, None), axis, last), -1.0, None)
    p = xp.clip(z - root, 0.0, 1.0)
    whole = xp.round(p)
    rest = p - whole
    count = ops.ordering.count(rest != 0, axis, z.dtype)
    # Newton's step: a whole number for each of the weights, and what is beside it, lose no digits to each other.
    move = _total(ops, rest, axis) + (_total(ops, whole, axis) - k)
    return xp.clip(root + move / xp.clip(count, 1.0, None), -1.0, None)


def clipped(ops: KernelOps, u: Array) -> Array:
    """Return ``clip(u, 0, 1)``: scores that tie with an end do so whatever the last digits of the threshold are."""
    xp, edge = ops.xp, 8 * float(ops.xp.finfo(u.dtype).eps)
    return xp.where(u >= 1 - edge, 1.0, xp.where(u <= edge, 0.0, u))
