"""Weights of an array of decimal scores along its axes: cut out each row, mask it, and compute its weights."""

import numpy as np

from .decimals import INF, NAN, ONE, ZERO, number, precise
from .rows import entmax_row


def _rows(x, axes):
    """Views of x as (rows, entries), and how to put (rows, entries) back."""
    axes = [axis % x.ndim for axis in axes]
    others = [axis for axis in range(x.ndim) if axis not in axes]
    moved = np.transpose(x, others + axes)
    shape = moved.shape
    flat = moved.reshape((-1, int(np.prod([x.shape[axis] for axis in axes]))))
    return flat, lambda rows: np.transpose(rows.reshape(shape), np.argsort(others + axes))


def along_axis(f, axis, *arrays):
    """A function of rows, of arrays of one shape, applied to each row along an axis."""
    rows = [_rows(array, (axis,)) for array in arrays]
    out = np.empty(rows[0][0].shape, dtype=object)
    for r, row in enumerate(zip(*(found for found, _ in rows), strict=True)):
        out[r] = f(*row)
    return rows[0][1](out)


def _near(keep, x, axes, window):
    """The kept entries within a window of the (first) largest kept one."""
    windows = window if isinstance(window, tuple) else (window,) * len(axes)
    out = np.zeros(x.shape, dtype=bool)
    others = [axis for axis in range(x.ndim) if axis not in axes]
    for lead in np.ndindex(*(x.shape[axis] for axis in others)):
        best, place = None, None
        entries = list(np.ndindex(*(x.shape[axis] for axis in axes)))

        def full(entry, lead=lead):
            index = dict(zip(others, lead, strict=True)) | dict(zip(axes, entry, strict=True))
            return tuple(index[axis] for axis in range(x.ndim))

        for entry in entries:
            if keep[full(entry)] and (best is None or x[full(entry)] > best):
                best, place = x[full(entry)], entry
        for entry in entries:
            out[full(entry)] = place is not None and all(
                abs(i - j) <= w for i, j, w in zip(entry, place, windows, strict=True)
            )
    return keep & out


@precise
def weights(x, *, axes, temperature=1, mask=None, alpha=1, window=None, row=None, k=1):
    """Weights along the axes; row replaces the entmax of each row's kept scores.

    A NaN makes its row NaN. Of k winners, ``+inf`` scores have weight 1 each, or share k where they are more.
    """
    axes = tuple(axis % x.ndim for axis in axes)
    reduced = [1 if k in axes else n for k, n in enumerate(x.shape)]
    keep = np.ones(x.shape, dtype=bool) if mask is None else np.broadcast_to(mask, x.shape)
    rows, back = _rows(x, axes)
    broken = [
        any(score.is_nan() for score in scores[kept]) for scores, kept in zip(rows, _rows(keep, axes)[0], strict=True)
    ]
    if window is not None:
        keep = _near(keep, x, axes, window)
    keeps, _ = _rows(keep, axes)
    spread = (
        np.broadcast_to(np.broadcast_to(np.asarray(value, dtype=object), reduced), x.shape)
        for value in (temperature, alpha)
    )
    temperatures, alphas = (_rows(value, axes)[0] for value in spread)
    out = np.full(rows.shape, ZERO, dtype=object)
    for r, scores in enumerate(rows):
        alive = [i for i in range(len(scores)) if keeps[r, i] and scores[i] != -INF]
        peaks = [i for i in alive if scores[i] == INF]
        if broken[r]:
            out[r] = NAN
        elif 0 < len(peaks) < k:
            rest = [i for i in alive if scores[i] != INF]
            out[r, peaks] = ONE
            out[r, rest] = row([scores[i] / number(temperatures[r, i]) for i in rest], k - len(peaks)) if rest else ONE
        elif alive:
            z = [ZERO] * len(peaks) if peaks else [scores[i] / number(temperatures[r, i]) for i in alive]
            out[r, peaks or alive] = row(z) if row else entmax_row(z, alphas[r, 0])
    return back(out)
