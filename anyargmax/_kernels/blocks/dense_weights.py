"""Softmax itself over plain CPU memory, in blocks that stay in cache. NumPy only.

Weights below the smallest normal number are exactly 0, as by the rule.
"""

import math

import numpy as np

from .dense import exponentials, with_care
from .dense_vjp import still, turned
from .plan import Plan, blocks, folded, is_foldable, like, part


def forward(p: Plan, mask, x, keep=False):
    """Return the weights, and if they are to be kept what the way back takes beside them; None if the rule must do it."""
    if not is_foldable(p, x):
        return None
    made = _block_by_block(p, folded(p, x), mask, keep)
    return None if made is None else (made[0].reshape(x.shape), made[1])


@np.errstate(all="ignore")
def _block_by_block(p: Plan, x, mask, keep):
    y, half, dtype, scratch = np.empty(x.shape, dtype=x.dtype), p.copied is not None, p.tables.dtype, None
    wide = np.empty(x.shape, dtype=dtype) if half and keep else y  # to compute them again would cost more
    tops, sums = np.zeros((2, p.outer, p.inner), dtype=dtype) if keep else (None, None)
    for i, j in blocks(p):
        if half and not keep:
            e = scratch = like(p, x[i, :, j], scratch)
        else:
            e = wide[i, :, j]
        s = _weighed(p.at(i, j), x[i, :, j], part(mask, i, j), e, None if tops is None else tops[i, j])
        if s is None:
            return None
        if sums is not None:
            sums[i, j] = s
        if half:
            p.copied(e, y[i, :, j])
    return y, ((sums, tops, wide if half else None) if keep else None)


def _weighed(p: Plan, scores, mask, out, tops):
    """Fill out with the weights of a block; return the sums of the exponentials, which `exponentials` explains, or None."""
    s = exponentials(p, scores, mask, out, tops=tops)
    if s is None:
        return None
    lowest = np.minimum.reduce(out, axis=None)
    if not lowest >= p.tiny and not np.minimum.reduce(s, axis=None) >= 1:
        # An exponential below the smallest normal number has lost digits that a sum below 1 makes a weight of.
        bad = (s < 1) & (np.minimum.reduce(out, axis=1) < p.tiny) & (s != 0)
        if bad.any():
            s = with_care(p, scores, mask, out, s, tops, bad)
        s = np.where(s == 0, 1, s)
    out /= s[:, None]
    if not lowest >= p.tiny * p.safe[1] and not np.minimum.reduce(out, axis=None) >= p.tiny:
        np.multiply(out, ~(out < p.tiny), out=out)
    return s


def backward(p: Plan, mask, g, y, x, kept=None, learned=False):
    """Return ``p (g - <p, g>) / T``, and the cotangent of each row's temperature if it is `learned`; None for the rule."""
    if p.copied is not None:
        y = None if kept is None else kept[2]
    elif learned and kept is None:
        y = None
    if not (is_foldable(p, g) and is_foldable(p, x if y is None else y)):
        return None
    y = None if y is None else folded(p, y)
    made = _pulled_block_by_block(p, mask, folded(p, g), y, folded(p, x), kept, learned)
    return None if made is None else (made[0].reshape(x.shape), made[1])


@np.errstate(all="ignore")
def _pulled_block_by_block(p: Plan, mask, g, y, x, kept, learned):
    dx, dtype = np.empty(x.shape, dtype=x.dtype), p.tables.dtype
    rows = np.zeros((p.outer, p.inner), dtype=dtype) if learned else None
    scratch = other = spare = None
    busy = learned or p.copied is not None
    for i, j in blocks(p):
        q, scores, keep = p.at(i, j), x[i, :, j], part(mask, i, j)
        if y is None:
            w = scratch = like(p, scores, scratch)
            tops = np.zeros((scores.shape[0], scores.shape[2]), dtype=dtype)
            sums = _weighed(q, scores, keep, w, tops)
            if sums is None:
                return None
        else:
            w, sums, tops = y[i, :, j], kept and kept[0][i, j], kept and kept[1][i, j]
        spare = like(p, scores, spare) if busy else None
        if p.copied is None:
            out = dx[i, :, j]
        else:
            out = other = like(p, scores, other)
        _product(q, w, p.read(g[i, :, j], spare), keep, scores, out)
        if rows is not None:
            rows[i, j] = turned(q, out, scores, sums, tops, spare)
        if p.copied is not None:
            p.copied(out, dx[i, :, j])
    return dx, rows


def _product(p: Plan, w, g, mask, x, out):
    """Fill out with ``w (g - <w, g>) / T``. Where a weight is 0, a cotangent is not looked at."""
    pulled = _pulled(p, w, g, out)
    finite = math.isfinite(np.add.reduce(pulled, axis=None))
    if not finite:
        g = np.where(w == 0, 0, g)
        pulled = _pulled(p, w, g, out)
    np.subtract(g, pulled, out=out)
    out *= w
    if p.divisor is not None:
        out /= p.divisor[:, None] if p.by_row else p.divisor
    if not finite:
        still(p, out, mask, x)


def _pulled(p: Plan, w, g, out):
    """``<w, g>`` of each row of a block, kept."""
    if p.inner == 1:
        return np.vecdot(w[..., 0], g[..., 0])[:, None, None]
    return np.add.reduce(np.multiply(w, g, out=out), axis=1, keepdims=True)
