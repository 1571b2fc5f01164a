"""The expectation of softmax over plain CPU memory, in blocks that stay in cache. NumPy only.

A large array costs its memory traffic and its page faults, not its arithmetic: so no temporary is as large
as the input, sums are matrix-vector products, the gradient is an outer product of few columns times the
exponentials, and these are kept for the backward pass, whose gradient takes over their memory.

``exp(x / T)`` is first tried without looking for the maximum, and of masked scores too, whose place 0 takes. Rows whose sum
is out of a safe range are done again with care; what is not finite then (a ``+inf`` score) is left to the rule.

Half types are read in their own dtype and become float32 a block at a time; so does the gradient become a half type again.
Of many scores nothing is kept then: to compute exponentials again costs less than to read them in float32.
"""

from typing import Any

import numpy as np

from .plan import Plan, blocks, folded, is_foldable, like, part

Kept = tuple[Any, Any, Any, Any]  # exponentials, their sums, the answers, and the shifts (None: there are none)


def weighed(p: Plan, e, k, out=None):
    """``sum_i tables[k]_i e_i`` of a block (rows, n, columns): (rows, columns)."""
    if p.inner > 1:
        return np.matmul(p.tables[k], e, out=out)
    if out is None:
        return np.matmul(e[..., 0], p.tables[k])[:, None]
    np.matmul(e[..., 0], p.tables[k], out=out[..., 0])
    return out


def _variance(p: Plan, e, k, mean):
    """``sum_i (tables[k]_i - mean)^2 e_i`` of a block."""
    square = p.tables[k][:, None] - mean[:, None, :]
    square *= square
    square *= e
    return weighed(p, square, -1)


def exponentials(p: Plan, scores, mask, out, sums=None, tops=None):
    """Fill out with ``exp((x - m) / T)`` of the kept scores of a block, m = 0 where that is safe; return their sums.

    None if a row has a ``+inf`` score. A row without any kept score has sum 0. What m is, a row's own scores decide; `tops`,
    which are 0 before, are filled with it.
    """
    p.fill(p.read(scores, out), p.scale, out)
    if mask is not None:
        clear(out, mask)
    s = weighed(p, out, -1, sums)
    if _are_safe(p, s):
        return s
    low, high = p.safe
    return with_care(p, scores, mask, out, s, tops, ~((s > low) & (s < high)))


def clear(x, mask):
    """Make 0 what is not kept, whatever it is, by bits: to choose for each number costs several times an exponential."""
    bits = x.view(f"i{x.itemsize}")
    np.bitwise_and(bits, _all_or_none(mask), out=bits)


def _all_or_none(mask):
    """All bits where a mask is True, whatever its byte is: a framework's need not be 1."""
    return np.negative((mask.view("i1") != 0).view("i1"))


def with_care(p: Plan, scores, mask, out, s, tops, bad):
    """Shift by the largest score in the bad ones of the rows; `exponentials` explains the rest."""
    i, j = np.nonzero(bad)
    if len(i) == s.size:
        top = shifted(p, p.read(scores), mask, 1, out)
        if top is not None and tops is not None:
            tops[...] = top[:, 0]
        return None if top is None else weighed(p, out, -1, s)
    rows = p.read(scores[i, :, j])  # (bad rows, n)
    q = p._replace(scale=p.scale[i, 0, j][:, None]) if p.by_row else p
    top = shifted(q, rows, None if mask is None else mask[i, :, j], -1, rows)
    if top is None:
        return None
    out[i, :, j] = rows
    s[i, j] = rows @ p.tables[-1]
    if tops is not None:
        tops[i, j] = top[:, 0]
    return s


def shifted(p: Plan, scores, mask, axis, out):
    """Fill out with ``exp((x - m) / T)`` of the kept scores, m being the largest; return m, 0 where none is kept.

    None, and nothing done, for a ``+inf`` score.
    """
    lowest, largest = (np.inf, np.minimum) if p.sign < 0 else (-np.inf, np.maximum)
    if mask is not None:
        scores = kept_or(mask, scores, lowest)
    top = largest.reduce(scores, axis=axis, keepdims=True)
    if np.any(top == -lowest):
        return None
    top = np.where(top == lowest, 0, top)
    p.fill(np.subtract(scores, top, out=out), p.scale, out)
    return top


def kept_or(mask, scores, value):
    """Return ``where(mask, scores, value)``, by bits."""
    other = np.asarray(value, dtype=scores.dtype).view(f"i{scores.itemsize}")
    out = np.bitwise_xor(scores.view(other.dtype), other)
    out &= _all_or_none(mask)
    out ^= other
    return out.view(scores.dtype)


def forward(p: Plan, mask, x, keep=False) -> tuple[Any, Kept | None] | None:
    """Return ``sum_i c_i p_i``, and the exponentials if they are to be kept; None if the rule must do it."""
    made, foldable = None, is_foldable(p, x)
    if p.inner == 1 and not p.moments:
        if x.size <= p.little:
            made = _at_once(p, mask, x, keep)
        elif foldable and mask is None:
            made = _row_by_row(p, x.reshape(p.outer, p.n), keep and p.copied is None)
    if made is None and foldable:
        made = _block_by_block(p, folded(p, x), mask, keep and p.copied is None)
    return made


def answers(p: Plan, e, s, out):
    """Fill out (answers, rows, columns) with the means, and then their variances, of a block."""
    for k in range(len(p.tables) - 1):
        mean = weighed(p, e, k, out[k])
        mean /= s
        if p.moments:
            np.divide(_variance(p, e, k, mean), s, out=out[len(p.tables) - 1 + k])
    return out


@np.errstate(all="ignore")
def _block_by_block(p: Plan, x, mask, keep):
    dtype = p.tables.dtype
    y = np.empty((p.readings, p.outer, p.inner), dtype=dtype)
    sums, tops = np.empty((p.outer, p.inner), dtype=dtype), np.zeros((p.outer, p.inner), dtype=dtype)
    kept = np.empty(x.shape, dtype=dtype) if keep else None
    scratch = None
    for i, j in blocks(p):
        block = x[i, :, j]
        if kept is not None:
            e = kept[i, :, j]
        else:
            e = scratch = like(p, block, scratch)
        s = exponentials(p.at(i, j), block, part(mask, i, j), e, sums[i, j], tops[i, j])
        if s is None:
            return None
        answers(p, e, s, y[:, i, j])
    answer = y[0] if p.readings == 1 else np.ascontiguousarray(np.moveaxis(y, 0, -1))
    return answer.reshape(p.shape), (None if kept is None else (kept, sums, y.copy(), tops))


def _are_safe(p: Plan, s) -> bool:
    """Whether no row needs more care, by the sums of exponentials that were not shifted."""
    low, high = p.safe
    return bool(low < np.minimum.reduce(s, axis=None) and np.maximum.reduce(s, axis=None) < high)


@np.errstate(all="ignore")
def _row_by_row(p: Plan, x, keep):
    """`forward` of rows that need no care, so many at a time as fit into a block; None if one of them turns out to."""
    step, dtype = max(1, p.limits.block // (p.n * p.itemsize)), p.tables.dtype
    e = np.empty((p.outer if keep else min(step, p.outer), p.n), dtype=dtype)
    y, s = (np.empty((k, p.outer), dtype=dtype) for k in (p.readings, 1))
    for i in range(0, p.outer, step):
        out = e[i : i + step] if keep else e[: min(step, p.outer - i)]
        scale = p.scale[i : i + step, :, 0] if p.by_row else p.scale
        made = p.fill(p.read(x[i : i + step], out), scale, out)
        for table, sums in zip(p.tables, (*y, *s), strict=True):
            np.matmul(made, table, out=sums[i : i + step])
        if i == 0 and not _are_safe(p, s[0, :step]):
            return None
    if not _are_safe(p, s):
        return None
    y /= s
    y = np.ascontiguousarray(y.T)
    return y.reshape(p.shape), ((e, s[0], y.copy(), None) if keep else None)


@np.errstate(all="ignore")
def _at_once(p: Plan, mask, x, keep):
    """`forward` of rows that fit into a block together; None where they need more care."""
    x, e = x.reshape(p.outer, p.n), np.empty((p.outer, p.n), dtype=p.tables.dtype)
    p.fill(x if p.copied is None else p.copied(x, e), p.scale[..., 0] if p.by_row else p.scale, e)
    if mask is not None:
        clear(e, mask[..., 0])
    s = e @ p.tables[-1]
    low, high = p.safe
    few = s.tolist() if p.outer <= p.limits.few else None
    if not (_are_safe(p, s) if few is None else low < min(few) and max(few) < high):
        return None
    if len(p.tables) == 2:
        y = e @ p.tables[0]
        y /= s
    else:
        y = np.stack([e @ table for table in p.tables[:-1]], axis=-1) / s[:, None]
    return y.reshape(p.shape), ((e, s, y.copy(), None) if keep else None)
