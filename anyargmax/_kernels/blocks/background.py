"""The expectation of weights proportional to ``exp(x / T) - 1`` over plain CPU memory, in blocks. NumPy only.

The derivative of such a weight is proportional to ``exp(x / T)``: the way back is that of `dense_vjp.py`, of numbers to
which 1 is added.
"""

import numpy as np

from .dense import answers, clear, weighed
from .dense_vjp import factors_of, times
from .plan import Plan, blocks, folded, is_foldable, like, part

LOW, HIGH = 1e-25, 1e9  # sums out of this range are taken with care


def forward(p: Plan, mask, x, keep=False):
    """Return the expectation, and what is kept for the way back; None if the rule must do it."""
    if not is_foldable(p, x):
        return None
    made = _block_by_block(p, mask, folded(p, x), keep and p.copied is None)
    if made is None:
        return None
    y, kept = made
    return np.ascontiguousarray(np.moveaxis(y, 0, -1)).reshape(p.shape), kept


@np.errstate(all="ignore")
def _block_by_block(p: Plan, mask, x, keep):
    dtype = p.tables.dtype
    y = np.empty((p.readings, p.outer, p.inner), dtype=dtype)
    sums, ones = (np.empty((p.outer, p.inner), dtype=dtype) for _ in range(2))
    kept, scratch = np.empty(x.shape, dtype=dtype) if keep else None, None
    for i, j in blocks(p):
        w = scratch = like(p, x[i, :, j], scratch) if kept is None else kept[i, :, j]
        made = _weighed(p.at(i, j), x[i, :, j], part(mask, i, j), w, y[:, i, j])
        if made is None:
            return None
        sums[i, j], ones[i, j] = made
    return y, (None if kept is None else (kept, sums, ones, y.copy()))


def _weighed(p: Plan, scores, mask, w, y):
    """Fill w with weights and y with answers of a block; return the sums, and what 1 is in the units of each row.

    None if a score is negative, NaN or infinite, or a sum so small that a map may count as blank. A map of zeros is at the
    centre of its positions, and moves nowhere.
    """
    x = p.read(scores, w)
    np.expm1(x if p.divisor is None else np.divide(x, _along(p), out=w), out=w)
    if mask is not None:
        clear(w, mask)
    if not np.minimum.reduce(w, axis=None) >= 0:
        return None
    s, one = weighed(p, w, -1), np.ones((scores.shape[0], scores.shape[2]), dtype=w.dtype)
    blank, tiny = s == 0, (s != 0) & ~(s > LOW)
    if tiny.any() or not ((s < HIGH).all() or _shifted(p, p.read(scores), mask, w, s, one)):
        return None
    if blank.any():
        i, j = np.nonzero(blank)
        kept = np.ones((len(i), p.n), dtype=bool) if mask is None else mask[i, :, j]
        if np.where(kept, p.read(scores[i, :, j]), 0).any():
            return None
        w[i, :, j] = kept
        answers(p, w, np.where(blank, weighed(p, w, -1), s), y)
        w[i, :, j], one[i, j], s[i, j] = 0, 0, kept.any(axis=-1)
    else:
        answers(p, w, s, y)
    return s, one


def _along(p: Plan):
    return p.divisor[:, None] if p.by_row else p.divisor


def _shifted(p: Plan, x, mask, w, s, one) -> bool:
    """Fill in ``exp((x - top) / T) - exp(-top / T)`` for rows with large sums; False if a score is infinite."""
    large = ~(s < HIGH)
    x = x if mask is None else np.where(mask, x, 0)
    top = np.where(large, np.maximum.reduce(x, axis=1), 0)
    if not np.isfinite(top).all():
        return False
    i, j = np.nonzero(large)
    divisor = p.divisor[i, j] if p.by_row else np.full(len(i), p.divisor or 1.0, dtype=w.dtype)
    one[i, j] = np.exp(-top[i, j] / divisor)
    rows = np.exp((x[i, :, j] - top[i, j][:, None]) / divisor[:, None]) - one[i, j][:, None]
    if mask is not None:
        clear(rows, mask[i, :, j])
    w[i, :, j] = rows
    s[i, j] = rows @ p.tables[-1]
    return True


def backward(p: Plan, mask, g, y, x, kept=None, learned=False):
    """Return ``g (c - y) exp(x / T) / (T sum expm1)`` and its like for variances; None if the rule must do it."""
    if learned or (kept is None and not is_foldable(p, x)):
        return None
    dx = _pulled_block_by_block(p, mask, g.reshape(p.outer, p.inner, p.readings), folded(p, x), kept)
    return None if dx is None else (dx.reshape(x.shape), None)


@np.errstate(all="ignore")
def _pulled_block_by_block(p: Plan, mask, g, x, kept):
    dx, scratch, other = np.empty(x.shape, dtype=x.dtype) if kept is None else kept[0], None, None
    for i, j in blocks(p, spare=kept is not None):
        q, scores = p.at(i, j), x[i, :, j]
        if kept is None:
            w, y = (
                like(p, scores, other),
                np.empty((p.readings, scores.shape[0], scores.shape[2]), dtype=p.tables.dtype),
            )
            other, made = w, _weighed(q, scores, part(mask, i, j), w, y)
            if made is None:
                return None
            s, one = made
        else:
            w, s, one, y = dx[i, :, j], kept[1][i, j], kept[2][i, j], kept[3][:, i, j]
        factors = factors_of(q, g[i, j], s, y)
        if factors is None or not np.isfinite(factors[0]).all():
            return None
        w += one[:, None]
        if mask is not None:
            clear(w, part(mask, i, j))
        scratch = like(p, scores, scratch)
        times(q, w, factors, scratch)
        if kept is None:
            dx[i, :, j] = w if p.copied is None else p.copied(w, np.empty(w.shape, dtype=x.dtype))
    return dx
