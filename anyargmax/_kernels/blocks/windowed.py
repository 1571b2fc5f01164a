"""The expectation of softmax within a window of the argmax: only what lies in the window is computed with. NumPy only.

A window is gathered, as wide where it meets an end of the axis; what of it is too far from the argmax is masked. Then it is
an expectation of few scores, whose positions count from the start of the window: `dense.py`.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from . import dense, dense_vjp
from .dense import kept_or
from .plan import Plan, blocks, folded, is_foldable


class Window(NamedTuple):
    """Windows in rows of n entries, which are the product of the reduced axes."""

    whole: Plan  # of the rows
    sizes: tuple[int, ...]  # of the axes
    widths: tuple[int, ...]  # how many entries along each are gathered
    reach: tuple[int, ...]  # how far from the argmax along each
    entries: Any  # those of a window that starts at the first, of all axes


def planned(p: Plan, sizes: tuple[int, ...], reach: tuple[int, ...]) -> tuple[Plan, Window]:
    """Return the plan of what is gathered, and how it is."""
    widths = tuple(min(2 * r + 1, n) for n, r in zip(sizes, reach, strict=True))
    entries = np.ravel_multi_index(np.meshgrid(*map(np.arange, widths), indexing="ij"), sizes).ravel()
    tables = p.tables[:, entries] - np.append(p.tables[:-1, 0], 0)[:, None].astype(p.tables.dtype)
    span = max(1.0, float(np.max(np.abs(tables)))) ** (1 + p.moments)
    compact = p._replace(n=math.prod(widths), tables=tables, span=span, copied=None)
    return compact, Window(p, sizes, widths, reach, entries)


def forward(w: Window, p: Plan, mask, x, keep=False):
    """Return the expectation within the windows, and what is kept for the way back; None if the rule must do it."""
    found = _gathered(w, p, mask, x)
    made = None if found is None else dense.forward(p, found[2], found[1], keep)
    if made is None:
        return None
    y, kept = np.array(made[0]).reshape(p.outer, p.inner, -1), made[1]
    count = len(p.tables) - 1
    y[..., :count] += np.moveaxis(w.whole.tables[:count, found[0]], 0, -1)
    return y.reshape(p.shape), (None if kept is None else (found, kept))


def backward(w: Window, p: Plan, mask, g, y, x, kept=None, learned=False):
    """Return the gradient, 0 outside of the windows, and that of each row's temperature; None if the rule must do it."""
    found, kept = (_gathered(w, p, mask, x), None) if kept is None else kept
    if found is None:
        return None
    start, scores, inside = found
    made = dense_vjp.backward(p, inside, g, None, scores, kept, learned)
    if made is None:
        return None
    moved, dx = made[0], np.zeros((p.outer, w.whole.n, p.inner), dtype=x.dtype)
    if w.whole.copied is not None:
        moved = w.whole.copied(moved, np.empty(moved.shape, dtype=x.dtype))
    dx[_places(w, start)] = moved
    return dx.reshape(x.shape), made[1]


def _places(w: Window, start):
    """Where the entries of the windows lie in the scores."""
    outer, inner = start.shape
    return np.arange(outer)[:, None, None], start[:, None] + w.entries[:, None], np.arange(inner)


@np.errstate(all="ignore")
def _gathered(w: Window, p: Plan, mask, x):
    """Where each window starts, the scores in it, and which of them take part; None for the rule, as where a row has NaN."""
    if not is_foldable(w.whole, x):
        return None
    x, chosen = folded(w.whole, x), np.empty((p.outer, p.inner), dtype=np.intp)
    for i, j in blocks(w.whole):
        scores = w.whole.read(x[i, :, j])
        if mask is not None:
            scores = kept_or(mask[i, :, j], scores, -p.sign * np.inf)
        chosen[i, j] = (np.argmax if p.sign > 0 else np.argmin)(scores, axis=1)
        top = np.take_along_axis(scores, chosen[i, None, j], axis=1)
        if not (p.sign * top < np.inf).all():
            return None
    start, inside = _windows(w, chosen)
    places = _places(w, start)
    if mask is not None:
        inside = inside & mask[places]
    return start, w.whole.read(x[places]), inside


def _windows(w: Window, chosen):
    """Where the window of each chosen entry starts, and which of its entries are near enough."""
    inside, starts = np.ones((), dtype=bool), []
    offsets = np.unravel_index(w.entries, w.sizes)
    for center, offset, reach, n, width in zip(
        np.unravel_index(chosen, w.sizes), offsets, w.reach, w.sizes, w.widths, strict=True
    ):
        start = np.clip(center - reach, 0, n - width)
        inside = inside & (np.abs(offset[:, None] + (start - center)[:, None]) <= reach)
        starts.append(start)
    return np.ravel_multi_index(starts, w.sizes), inside
