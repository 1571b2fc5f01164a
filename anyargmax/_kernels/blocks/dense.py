"""The expectation of softmax over plain CPU memory, in blocks that stay in cache. NumPy only.

A large array costs its memory traffic and its page faults, not its arithmetic: so no temporary is as large
as the input, sums are matrix-vector products, the gradient is an outer product of few columns times the
exponentials, and these are kept for the backward pass, whose gradient takes over their memory.

``exp(x)`` is first tried without looking for the maximum. Rows whose sum is out of a safe range are done
again with it; what is not finite then (a ``+inf`` score) is left to the rule.
"""

from typing import Any, NamedTuple

import numpy as np

Kept = tuple[Any, Any, Any]  # exponentials, their sums, and the answers


class Plan(NamedTuple):
    """A reduction of n entries of C-contiguous arrays, seen as (outer, n, inner)."""

    outer: int
    n: int
    inner: int
    divisor: float | None  # the temperature, negative for the smallest score; None is 1
    tables: Any  # (k + 1, n): the positions, and a last row of ones
    span: float  # largest position
    shape: tuple[int, ...]  # of the answer
    moments: bool  # whether each position is followed, after all of them, by its variance
    exponential: Any  # fills memory with exp(x / divisor)
    safe: tuple[float, float]  # sums of these for which no shift by the largest score is needed
    limits: Any  # those of the kernel

    @property
    def readings(self) -> int:
        """How many numbers a row is reduced to."""
        return (len(self.tables) - 1) * (1 + self.moments)


def blocks(p: Plan, itemsize, spare=False):
    """Slices of outer and inner that fit into a block; inner is cut only where all of it does not.

    To be `spare`, a block is not much beside the scores, but at least half of a usual one.
    """
    block, columns = p.limits.block, p.limits.columns
    share = p.outer * p.n * p.inner * itemsize // p.limits.share
    room = max(1, min(block, max(share, block // 2) if spare else block) // itemsize)
    width = min(p.inner, max(columns, room // p.n))
    rows = max(1, room // (p.n * width)) if width == p.inner else 1
    for i in range(0, p.outer, rows):
        for j in range(0, p.inner, width):
            yield slice(i, i + rows), slice(j, j + width)


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


def exponentials(p: Plan, scores, mask, out, sums=None):
    """Fill out with ``exp((x - m) / T)`` of the kept scores of a block, m = 0 where that is safe; return their sums.

    None if a row has a ``+inf`` score. A row without any kept score has sum 0. What m is, a row's own scores decide.
    """
    p.exponential(scores, out)
    if mask is not None:
        np.copyto(out, 0, where=~mask)
    s = weighed(p, out, -1, sums)
    if _are_safe(p, s):
        return s
    low, high = p.safe
    i, j = np.nonzero(~((s > low) & (s < high)))
    if len(i) == s.size:
        return weighed(p, out, -1, sums) if _shifted(p, scores, mask, 1, out) else None
    rows = scores[i, :, j]  # (bad rows, n)
    if not _shifted(p, rows, None if mask is None else mask[i, :, j], -1, rows):
        return None
    out[i, :, j] = rows
    s[i, j] = rows @ p.tables[-1]
    return s


def _shifted(p: Plan, scores, mask, axis, out) -> bool:
    """Fill out with ``exp((x - max x) / T)`` of the kept scores; False, and nothing done, for a ``+inf`` score."""
    lowest, largest = (np.inf, np.minimum) if p.divisor is not None and p.divisor < 0 else (-np.inf, np.maximum)
    if mask is not None:
        scores = np.where(mask, scores, lowest)
    top = largest.reduce(scores, axis=axis, keepdims=True)
    if np.any(top == -lowest):
        return False
    p.exponential(np.subtract(scores, np.where(top == lowest, 0, top), out=out), out)
    return True


def folded(p: Plan, x, mask):
    """Views of shape (outer, n, inner)."""
    shape = (p.outer, p.n, p.inner)
    return x.reshape(shape), None if mask is None else np.broadcast_to(mask, x.shape).reshape(shape)


def is_foldable(p: Plan, x) -> bool:
    """Whether the memory can be seen as (outer, n, inner), or is so little that a copy does not matter."""
    return (
        x.flags.c_contiguous or x.nbytes <= p.limits.block or np.may_share_memory(x, x.reshape(p.outer, p.n, p.inner))
    )


def forward(p: Plan, mask, x, keep=False) -> tuple[Any, Kept | None] | None:
    """Return ``sum_i c_i p_i``, and the exponentials if they are to be kept; None if the rule must do it."""
    made, foldable = None, is_foldable(p, x)
    if p.inner == 1 and mask is None and not p.moments:
        if x.nbytes <= 2 * p.limits.block:
            made = _at_once(p, x, keep)
        elif foldable:
            made = _row_by_row(p, x.reshape(p.outer, p.n), keep)
    if made is None and foldable:
        x, mask = folded(p, x, mask)
        made = _block_by_block(p, x, mask, keep)
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
    y = np.empty((p.readings, p.outer, p.inner), dtype=x.dtype)
    sums = np.empty((p.outer, p.inner), dtype=x.dtype)
    kept = np.empty(x.shape, dtype=x.dtype) if keep else None
    scratch = None
    for i, j in blocks(p, x.itemsize):
        block = x[i, :, j]
        if kept is not None:
            e = kept[i, :, j]
        elif scratch is None or block.shape[2] != scratch.shape[2]:
            e = scratch = np.empty(block.shape, dtype=x.dtype)
        else:
            e = scratch[: len(block)]
        s = exponentials(p, block, None if mask is None else mask[i, :, j], e, sums[i, j])
        if s is None:
            return None
        answers(p, e, s, y[:, i, j])
    answer = y[0] if p.readings == 1 else np.ascontiguousarray(np.moveaxis(y, 0, -1))
    return answer.reshape(p.shape), (None if kept is None else (kept, sums, y.copy() if p.readings == 1 else y))


def _are_safe(p: Plan, s) -> bool:
    """Whether no row needs more care, by the sums of exponentials that were not shifted."""
    low, high = p.safe
    return bool(low < np.minimum.reduce(s, axis=None) and np.maximum.reduce(s, axis=None) < high)


@np.errstate(all="ignore")
def _row_by_row(p: Plan, x, keep):
    """`forward` of rows that need no care, so many at a time as fit into a block; None if one of them turns out to."""
    step = max(1, p.limits.block // (p.n * x.itemsize))
    e = np.empty((p.outer if keep else min(step, p.outer), p.n), dtype=x.dtype)
    y, s = (np.empty((k, p.outer), dtype=x.dtype) for k in (p.readings, 1))
    for i in range(0, p.outer, step):
        scores = x[i : i + step]
        made = p.exponential(scores, e[i : i + step] if keep else e[: len(scores)])
        for table, sums in zip(p.tables, (*y, *s), strict=True):
            np.matmul(made, table, out=sums[i : i + step])
        if i == 0 and not _are_safe(p, s[0, :step]):
            return None
    if not _are_safe(p, s):
        return None
    y /= s
    y = np.ascontiguousarray(y.T)
    return y.reshape(p.shape), ((e, s[0], y.copy()) if keep else None)


@np.errstate(all="ignore")
def _at_once(p: Plan, x, keep):
    """`forward` of rows that fit into a block together; None where they need more care."""
    x = x.reshape(p.outer, p.n)
    e = p.exponential(x, np.empty(x.shape, dtype=x.dtype))
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
    return y.reshape(p.shape), ((e, s, y.copy()) if keep else None)
