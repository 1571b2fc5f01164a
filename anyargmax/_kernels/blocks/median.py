"""The median of positions under softmax over plain CPU memory, in blocks that stay in cache. NumPy only.

With S_i the weight above entry i, the first entry j at which no more than half of it lies above ends what moves, and the
median is ``c_j - 2 sum_i p_i max(c_j - c_i, 0)`` of positions that rise. To find j, sums of chunks come before sums of
entries: a running sum costs ten times an exponential.
"""

from typing import Any, NamedTuple

import numpy as np

from .dense import exponentials
from .dense_vjp import inner, turned
from .plan import Plan, blocks, folded, is_foldable, like, part

CHUNK = 32


class Axes(NamedTuple):
    """The reduced axes, which have n entries together."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]  # which of them each answer is along
    places: tuple[Any, ...]  # the positions of the entries of each


def planned(p: Plan, sizes: tuple[int, ...], order: tuple[int, ...]) -> Axes:
    """Return the axes in which the flattened tables vary, each along its own."""
    laid = [
        np.moveaxis(table.reshape(sizes), k, 0).reshape(sizes[k], -1)[:, 0]
        for k, table in zip(order, p.tables, strict=False)
    ]
    return Axes(sizes, order, tuple(laid))


def forward(w: Axes, p: Plan, mask, x, keep=False):
    """Return the medians, and the exponentials if they are to be kept; None if the rule must do it."""
    made = _block_by_block(w, p, mask, folded(p, x), keep and p.copied is None) if is_foldable(p, x) else None
    if made is None:
        return None
    y, kept = made
    return np.ascontiguousarray(np.moveaxis(y, 0, -1)).reshape(p.shape), kept


@np.errstate(all="ignore")
def _block_by_block(w: Axes, p: Plan, mask, x, keep):
    dtype = p.tables.dtype
    y, ends = (np.empty((len(w.order), p.outer, p.inner), dtype=dtype) for _ in range(2))
    sums, tops = (np.empty((p.outer, p.inner), dtype=dtype) for _ in range(2))
    kept, scratch = np.empty(x.shape, dtype=dtype) if keep else None, None
    for i, j in blocks(p):
        e = scratch = like(p, x[i, :, j], scratch) if kept is None else kept[i, :, j]
        made = _medians(w, p.at(i, j), x[i, :, j], part(mask, i, j), e)
        if made is None:
            return None
        y[:, i, j], ends[:, i, j], sums[i, j], tops[i, j] = made
    return y, (None if kept is None else (kept, y.copy(), ends, sums, tops))


def _medians(w: Axes, p: Plan, scores, mask, e):
    """Fill e with the exponentials of a block; return the medians, c_j, sums and shifts. None if a row has NaN or +inf."""
    tops = np.zeros((scores.shape[0], scores.shape[2]), dtype=e.dtype)
    s = exponentials(p, scores, mask, e, tops=tops)
    if s is None or not np.isfinite(s).all():
        return None
    y, ends = (np.empty((len(w.order), *s.shape), dtype=e.dtype) for _ in range(2))
    for k, (axis, c) in enumerate(zip(w.order, w.places, strict=True)):
        marginal = _marginal(w, e, axis)
        ends[k] = c[_first_half(marginal, s)]
        np.subtract(ends[k], 2 * inner(p, _behind(ends[k], c), marginal) / s, out=y[k])
    return y, ends, s, tops


def _behind(end, c):
    """``max(c_j - c, 0)`` along an axis, of each row."""
    away = end[:, None] - c[:, None]
    return np.maximum(away, 0, out=away)


def _marginal(w: Axes, e, k):
    """Sums over the other axes."""
    if len(w.sizes) == 1:
        return e
    others = tuple(1 + axis for axis in range(len(w.sizes)) if axis != k)
    return e.reshape(len(e), *w.sizes, e.shape[2]).sum(axis=others)


def _first_half(e, s):
    """The first entry of each row above which no more than half of the sum lies, but for the last digits of a sum."""
    rows, n, columns = e.shape
    least = s * (0.5 - min(n, CHUNK) * np.finfo(e.dtype).eps)  # what must lie at or below it
    width = min(CHUNK, n)
    whole = n // width * width
    ones, chunks = np.ones(width, dtype=e.dtype), e[:, :whole].reshape(rows, -1, width, columns)
    below = np.add.accumulate(
        np.matmul(ones, chunks) if columns > 1 else np.matmul(chunks[..., 0], ones)[..., None], axis=1
    )
    index = np.add.reduce(below < least[:, None], axis=1, dtype=np.intp)  # of the chunk in which it lies
    before = np.where(index > 0, np.take_along_axis(below, np.maximum(index - 1, 0)[:, None], axis=1)[:, 0], 0)
    entries = np.minimum(index[:, None] * width + np.arange(width)[:, None], n - 1)
    inside = np.add.accumulate(np.take_along_axis(e, entries, axis=1), axis=1) + before[:, None]
    found = index * width + np.add.reduce(inside < least[:, None], axis=1, dtype=np.intp)
    return np.minimum(found, n - 1)


def backward(w: Axes, p: Plan, mask, g, y, x, kept=None, learned=False):
    """Return the gradient, and that of each row's temperature if it is `learned`; None if the rule must do it.

    It is ``a sum_k g_k (v_k - <p, v_k>) p``, ``a = 1 / T``, with ``v = -2 max(c_j - c, 0)``, of which ``<p, v>`` is the
    answer less c_j.
    """
    if kept is None and not is_foldable(p, x):
        return None
    g = np.moveaxis(g.reshape(p.outer, p.inner, len(w.order)), -1, 0)
    made = _pulled_block_by_block(w, p, mask, g, folded(p, x), kept, learned)
    return None if made is None else (made[0].reshape(x.shape), made[1])


@np.errstate(all="ignore")
def _pulled_block_by_block(w: Axes, p: Plan, mask, g, x, kept, learned):
    scratch = other = None
    dx = np.empty(x.shape, dtype=x.dtype) if kept is None else kept[0]
    rows = np.zeros((p.outer, p.inner), dtype=p.tables.dtype) if learned else None
    for i, j in blocks(p, spare=kept is not None):
        q, scores = p.at(i, j), x[i, :, j]
        if kept is None:
            e = other = like(p, scores, other)
            made = _medians(w, q, scores, part(mask, i, j), e)
        else:
            e, made = dx[i, :, j], (kept[1][:, i, j], kept[2][:, i, j], kept[3][i, j], kept[4][i, j])
        if made is None:
            return None
        medians, ends, s, tops = made
        if not _times(w, q, e, g[:, i, j], medians, ends, s):
            return None
        if rows is not None:
            scratch = like(p, scores, scratch)
            rows[i, j] = turned(q, e, scores, s, tops, scratch)
        if kept is None:
            dx[i, :, j] = e if p.copied is None else p.copied(e, np.empty(e.shape, dtype=x.dtype))
    return dx, rows


def _times(w: Axes, p: Plan, e, g, y, ends, s) -> bool:
    """Multiply the exponentials by what makes them the gradient; False, and nothing done, if that may overflow."""
    alive = s != 0
    divisor = s if p.divisor is None else s * p.divisor
    a = np.divide(g, divisor, out=np.zeros(g.shape, dtype=e.dtype), where=alive)
    if not np.maximum.reduce(np.abs(a), axis=None) < np.finfo(e.dtype).max / (8 * p.span * len(w.order)):
        return False
    total: Any = 0.0
    for k, (axis, c) in enumerate(zip(w.order, w.places, strict=True)):
        v = _behind(ends[k], c)
        v *= -2
        v -= np.where(alive, y[k] - ends[k], 0)[:, None]
        v *= a[k][:, None]
        shape = [1] * len(w.sizes)
        shape[axis] = w.sizes[axis]
        total = total + v.reshape(len(v), *shape, v.shape[2])
    e *= total.reshape(e.shape)
    return True
