"""The way back through an expectation over plain CPU memory: see `dense.py`. NumPy only."""

import numpy as np

from .dense import Kept, Plan, answers, blocks, exponentials, folded, is_foldable

LIMIT = 1e30  # of what a position is multiplied by


@np.errstate(all="ignore")
def _pulled_at_once(p: Plan, g, y, e, s):
    """`backward` of few scores that `forward` did at once; None if that takes more care."""
    a = g.reshape(p.outer) / s
    if p.divisor is not None:
        a /= p.divisor
    if not sum(map(abs, a.tolist())) * p.span < LIMIT:
        return None
    v = p.tables[0] - y.reshape(p.outer, 1)
    v *= a.reshape(p.outer, 1)
    e *= v
    return e


def _factors(p: Plan, g, s, y):
    """What ``sum_k a_k (c_k - y_k)``, ``a = g / (s T)``, is made of, for rows of (rows, columns); None if it may overflow.

    That is each a and ``-sum_k a_k y_k``, to be multiplied by the tables; for variances a and y. All are 0 in rows
    without any kept score, and NaN in those where any is.
    """
    s, y = s[..., None], np.moveaxis(y, 0, -1)
    alive = s != 0
    a = np.divide(g, s if p.divisor is None else s * p.divisor, out=np.zeros(g.shape, dtype=s.dtype), where=alive)
    if not alive.all():
        y = np.where(alive, y, 0)
    if not _is_safe(p, a):
        finite = np.isfinite(a).all(axis=-1, keepdims=True)
        if not (finite | ~np.isfinite(g * s).all(axis=-1, keepdims=True)).all():
            return None  # a quotient overflows that a weight of 0 may be multiplied by
        if not _is_safe(p, np.where(finite, a, 0)):
            return None
        a = np.where(finite, a, np.nan)
    if p.moments:
        return a, y
    coefficients = np.empty((*a.shape[:-1], len(p.tables)), dtype=a.dtype)
    coefficients[..., :-1] = a
    np.negative(np.add.reduce(a * y, axis=-1), out=coefficients[..., -1])
    return (coefficients,)


def _times(p: Plan, e, factors, scratch):
    """Multiply e (rows, n, columns) by ``sum_k a_k (c_k - y_k)``, an outer product of few columns."""
    if p.moments:
        return _times_moments(p, e, *factors)
    (coefficients,) = factors
    out = scratch[: len(e)] if e.shape[1:] == scratch.shape[1:] else np.empty(e.shape, dtype=e.dtype)
    if p.inner == 1:
        np.matmul(coefficients[:, 0], p.tables, out=out[..., 0])
    else:
        np.matmul(p.tables.T, coefficients.swapaxes(1, 2), out=out)
    e *= out
    return e


def _times_moments(p: Plan, e, a, y):
    """Multiply e by ``sum_k a_k (c_k - y_k)`` and ``b_k ((c_k - y_k)^2 - variance_k)``, b being what follows a."""
    a, y = (np.moveaxis(array, -1, 0)[:, :, None] for array in (a, y))
    count, total = len(p.tables) - 1, 0.0
    for k in range(count):
        offset = p.tables[k][:, None] - y[k]
        term = offset * a[count + k]
        term += a[k]
        term *= offset
        term -= a[count + k] * y[count + k]
        total = total + term
    e *= total
    return e


def _is_safe(p: Plan, a) -> bool:
    """Whether no product on the way overflows, and none is NaN."""
    limit = float(np.finfo(a.dtype).max) / (2 * p.span * p.readings)
    return bool(np.maximum.reduce(np.abs(a), axis=None) < limit)


def backward(p: Plan, mask, g, y, x, kept: Kept | None = None):
    """Return ``g (c - y) p / T`` and its like for variances, in the memory of the kept exponentials if there are any.

    None if the rule must do it. The answer y is not looked at, because it is the caller's: it is kept, or made again.
    """
    shape = x.shape
    if kept is not None and kept[1].ndim == 1:
        e, s, y = kept
        few = p.limits.few
        if p.outer <= few and x.size <= few * few and len(p.tables) == 2:
            dx = _pulled_at_once(p, g, y, e, s)
            if dx is not None:
                return dx.reshape(shape)
        kept = e[..., None], s[:, None], np.moveaxis(y.reshape(p.outer, 1, p.readings), -1, 0)
    if kept is None:
        if not is_foldable(p, x):
            return None
        x, mask = folded(p, x, mask)
    made = _pulled_block_by_block(p, mask, g.reshape(p.outer, p.inner, p.readings), x, kept)
    if made is None:
        return None
    dx, numbers = made
    return dx.reshape(shape) if numbers else _still(p, dx.reshape(shape), mask, x)


def _still(p: Plan, dx, mask, x):
    """Make 0 what is not kept in rows that are NaN for the rest."""
    lowest = np.inf if p.divisor is not None and p.divisor < 0 else -np.inf
    np.copyto(dx, 0, where=x.reshape(dx.shape) == lowest)
    if mask is not None:
        np.copyto(dx, 0, where=~np.broadcast_to(mask, x.shape).reshape(dx.shape))
    return dx


@np.errstate(all="ignore")
def _pulled_block_by_block(p: Plan, mask, g, x, kept):
    """Return the gradient, and whether it holds no NaN; None if the rule must do it."""
    if kept is None:
        return _recomputed(p, mask, g, x)
    dx, sums, y = kept
    factors = _factors(p, g, sums, y)
    if factors is None:
        return None
    scratch = None
    for i, j in blocks(p, x.itemsize, spare=True):
        e = dx[i, :, j]
        scratch = np.empty(e.shape, dtype=e.dtype) if scratch is None else scratch
        _times(p, e, [factor[i, j] for factor in factors], scratch)
    return dx, bool(np.isfinite(factors[0]).all())


def _recomputed(p: Plan, mask, g, x):
    """Pull back with nothing kept: each block's exponentials are made again, as the way forward did."""
    dx, scratch, numbers = np.empty((p.outer, p.n, p.inner), dtype=x.dtype), None, True
    for i, j in blocks(p, x.itemsize):
        e = dx[i, :, j]
        scratch = np.empty(e.shape, dtype=e.dtype) if scratch is None else scratch
        s = exponentials(p, x[i, :, j], None if mask is None else mask[i, :, j], e)
        if s is None:
            return None
        factors = _factors(p, g[i, j], s, answers(p, e, s, np.empty((p.readings, *s.shape), dtype=s.dtype)))
        if factors is None:
            return None
        _times(p, e, factors, scratch)
        numbers = numbers and bool(np.isfinite(factors[0]).all())
    return dx, numbers
