"""The way back through an expectation over plain CPU memory: see `_blocked`. NumPy only."""

import numpy as np

from ._blocked import FEW, Kept, Plan, answers, blocks, exponentials, folded, is_foldable

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


def _per_exponential(p: Plan, g, y, s):
    """Return ``g / (s T)`` of a block, and y; both 0 in rows without any kept score."""
    s = s[..., None]
    alive = s != 0
    a = np.divide(g, s if p.divisor is None else s * p.divisor, out=np.zeros(g.shape, dtype=s.dtype), where=alive)
    return a, (y if alive.all() else np.where(alive, y, 0))


def _times(p: Plan, e, a, y, scratch):
    """Multiply e (rows, n, columns) by ``sum_k a_k (c_k - y_k)``, an outer product of few columns."""
    if p.moments:
        return _times_moments(p, e, a, y)
    coefficients = np.empty((*a.shape[:-1], len(p.tables)), dtype=a.dtype)
    coefficients[..., :-1] = a
    np.negative(np.add.reduce(a * y, axis=-1), out=coefficients[..., -1])
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
        if p.outer <= FEW and x.size <= FEW * FEW and len(p.tables) == 2:
            dx = _pulled_at_once(p, g, y, e, s)
            if dx is not None:
                return dx.reshape(shape)
        kept = e[..., None], s[:, None], y.reshape(p.outer, 1, p.readings)
    if kept is None:
        if not is_foldable(p, x):
            return None
        x, mask = folded(p, x, mask)
    dx = _pulled_block_by_block(p, mask, g.reshape(p.outer, p.inner, p.readings), x, kept)
    return None if dx is None else dx.reshape(shape)


@np.errstate(all="ignore")
def _pulled_block_by_block(p: Plan, mask, g, x, kept):
    dx = np.empty((p.outer, p.n, p.inner), dtype=x.dtype) if kept is None else kept[0]
    scratch = None
    for i, j in blocks(p, x.itemsize):
        e = dx[i, :, j]
        scratch = np.empty(e.shape, dtype=e.dtype) if scratch is None else scratch
        if kept is not None:
            s, y = kept[1][i, j], kept[2][i, j]
        else:
            s = exponentials(p, x[i, :, j], None if mask is None else mask[i, :, j], e)
            if s is None:
                return None
            y = answers(p, e, s, np.empty((*s.shape, p.readings), dtype=s.dtype))
        a, center = _per_exponential(p, g[i, j], y, s)
        if not _is_safe(p, a):
            finite = np.isfinite(a).all(axis=-1, keepdims=True)
            if not _is_safe(p, np.where(finite, a, 0)):
                return None
            a = np.where(finite, a, np.nan)  # in all of the row
        _times(p, e, a, center, scratch)
    return dx
