"""The way back through an expectation over plain CPU memory: see `dense.py`. NumPy only."""

import numpy as np

from .dense import Kept, answers, exponentials
from .plan import Plan, blocks, folded, is_foldable, like, part

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


@np.errstate(all="ignore")
def _pulled_together(p: Plan, g, y, e, s, x, learned):
    """`backward` of more scores, which fit into a block together; twice None if that takes more care."""
    outer, k = p.outer, len(p.tables) - 1
    s = s[:, None]
    coefficients = np.empty((outer, k + 1), dtype=e.dtype)
    a = np.divide(g.reshape(outer, k), s, out=coefficients[:, :k])
    if p.divisor is not None:
        a /= p.divisor
    if not np.maximum.reduce(np.abs(a), axis=None) * p.span < LIMIT:
        return None, None
    np.negative(np.add.reduce(a * y.reshape(outer, k), axis=1), out=coefficients[:, k])
    v = coefficients @ p.tables
    e *= v
    if not learned:
        return e, None
    return e, turned(p, e[..., None], x.reshape(outer, p.n, 1), s, None, v[..., None])


def factors_of(p: Plan, g, s, y):
    """What ``sum_k a_k (c_k - y_k)``, ``a = g / (s T)``, is made of, for rows of (rows, columns); None if it may overflow.

    That is each a and ``-sum_k a_k y_k``, to be multiplied by the tables; for variances a and y. All are 0 in rows
    without any kept score, and NaN in those where any is.
    """
    divisor = s if p.divisor is None else s * p.divisor
    s, y, divisor = s[..., None], y.transpose(1, 2, 0), divisor[..., None]
    alive = s != 0
    a = np.divide(g, divisor, out=np.zeros(g.shape, dtype=s.dtype), where=alive)
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


def times(p: Plan, e, factors, scratch):
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


def turned(p: Plan, dx, x, s, top, scratch):
    """The cotangent of each row's temperature in a block, ``-sum_i dx_i z_i``, where ``z = log p`` up to a constant.

    What has no weight does not matter, whatever it is. With the exponentials ``exp((x - top) / T)`` and their sums s, no
    score with a weight is far from ``top + T log s``, and the sum of ``dx`` is 0: so nothing cancels.
    """
    reference = np.log(s) * p.divisor
    if top is not None:
        reference += top
    out = like(p, x, scratch)
    z = np.subtract(p.read(x, out), reference[:, None, :], out=out)
    total = inner(p, z, dx)
    if not np.isfinite(total).all():
        z = p.read(x) - reference[:, None, :]
        np.copyto(z, 0, where=dx == 0)
        total = inner(p, z, dx)
    return total / (-p.sign * p.divisor)


def inner(p: Plan, x, y):
    """``sum_i x_i y_i`` of each row of a block; x may be overwritten."""
    if p.inner == 1:
        return np.vecdot(x[..., 0], y[..., 0])[:, None]
    return np.add.reduce(np.multiply(x, y, out=x), axis=1)


def backward(p: Plan, mask, g, y, x, kept: Kept | None = None, learned=False):
    """Return ``g (c - y) p / T`` and its like for variances, in the memory of the kept exponentials if there are any.

    Second, if it is `learned`, the cotangent of each row's temperature. None if the rule must do it. The answer y is not
    looked at, because it is the caller's: it is kept, or made again.
    """
    shape = x.shape
    if kept is not None and kept[1].ndim == 1:
        e, s, y, _ = kept
        few, dx, rows = p.limits.few, None, None
        if p.outer <= few and x.size <= few * few and len(p.tables) == 2 and not (learned or p.by_row):
            dx = _pulled_at_once(p, g, y, e, s)
        elif x.size <= p.little:
            dx, rows = _pulled_together(p, g, y, e, s, x, learned)
        if dx is not None:
            dx = dx.reshape(shape)
            return dx if p.copied is None else _stored(p, dx, x), rows
        kept = e[..., None], s[:, None], y.reshape(p.outer, 1, p.readings).transpose(2, 0, 1), None
    if kept is None and not is_foldable(p, x):
        return None
    g = g.reshape(p.outer, p.inner, p.readings)
    made = _pulled_block_by_block(p, mask, g, folded(p, x), kept, learned)
    return None if made is None else (made[0].reshape(shape), made[1])


def _stored(p: Plan, dx, x):
    """The gradient in the half type of the scores."""
    return p.copied(dx, np.empty(x.shape, dtype=x.dtype))


def still(p: Plan, dx, mask, x):
    """Make 0 what is not kept, in rows that are NaN for the rest."""
    np.copyto(dx, 0, where=p.read(x) == -p.sign * np.inf)
    if mask is not None:
        np.copyto(dx, 0, where=~mask)


@np.errstate(all="ignore")
def _pulled_block_by_block(p: Plan, mask, g, x, kept, learned):
    """Return the gradient, and that of each row's temperature if that is learned; None if the rule must do it."""
    rows = np.zeros((p.outer, p.inner), dtype=p.tables.dtype) if learned else None
    if kept is None:
        return _recomputed(p, mask, g, x, rows)
    dx, sums, y, tops = kept
    factors = factors_of(p, g, sums, y)
    if factors is None:
        return None
    numbers, scratch = bool(np.isfinite(factors[0]).all()), None
    for i, j in blocks(p, spare=True):
        e = dx[i, :, j]
        scratch = np.empty(e.shape, dtype=e.dtype) if scratch is None else scratch
        times(p, e, [factor[i, j] for factor in factors], scratch)
        if not numbers:
            still(p, e, part(mask, i, j), x[i, :, j])
        if rows is not None:
            top = None if tops is None else tops[i, j]
            rows[i, j] = turned(p.at(i, j), e, x[i, :, j], sums[i, j], top, scratch)
    return dx if p.copied is None else _stored(p, dx, x), rows


def _recomputed(p: Plan, mask, g, x, rows):
    """Pull back with nothing kept: each block's exponentials are made again, as the way forward did."""
    dx, dtype, scratch, other = np.empty(x.shape, dtype=x.dtype), p.tables.dtype, None, None
    for i, j in blocks(p):
        q, scores, kept = p.at(i, j), x[i, :, j], part(mask, i, j)
        scratch = like(p, scores, scratch)
        if p.copied is None:
            e = dx[i, :, j]
        else:
            e = other = like(p, scores, other)
        top = np.zeros((scores.shape[0], scores.shape[2]), dtype=dtype)
        s = exponentials(q, scores, kept, e, tops=top)
        if s is None:
            return None
        factors = factors_of(q, g[i, j], s, answers(q, e, s, np.empty((p.readings, *s.shape), dtype=dtype)))
        if factors is None:
            return None
        times(q, e, factors, scratch)
        if not np.isfinite(factors[0]).all():
            still(q, e, kept, scores)
        if rows is not None:
            rows[i, j] = turned(q, e, scores, s, top, scratch)
        if p.copied is not None:
            p.copied(e, dx[i, :, j])
    return dx, rows
