"""An independent implementation in 50 digits: loops over rows of mpmath numbers, no rule of the library.

Derivatives are central differences with a step of 1e-20, good to about 30 digits.
"""

import mpmath
import numpy as np

mpmath.mp.dps = 50
STEP = mpmath.mpf(10) ** -20
INF = mpmath.inf


def exact(values):
    """Array of mpmath numbers that are exactly the given floats."""
    values = np.asarray(values)
    out = np.empty(values.shape, dtype=object)
    for index in np.ndindex(values.shape):
        out[index] = mpmath.mpf(float(values[index]))
    return out


def rounded(values):
    """Back to float64."""
    return np.vectorize(float, otypes=[np.float64])(values) if np.size(values) else np.zeros(np.shape(values))


def softmax_row(scores):
    top = max(scores)
    e = [mpmath.exp(score - top) for score in scores]
    total = mpmath.fsum(e)
    return [value / total for value in e]


def _rows(x, axes):
    """Views of x as (rows, entries), and how to put (rows, entries) back."""
    axes = [axis % x.ndim for axis in axes]
    others = [axis for axis in range(x.ndim) if axis not in axes]
    moved = np.transpose(x, others + axes)
    shape = moved.shape
    flat = moved.reshape((-1, int(np.prod([x.shape[axis] for axis in axes]))))
    return flat, lambda rows: np.transpose(rows.reshape(shape), np.argsort(others + axes))


def weights(x, *, axes, temperature=1, mask=None):
    temperature = np.broadcast_to(
        np.asarray(temperature, dtype=object),
        [1 if k in [a % x.ndim for a in axes] else n for k, n in enumerate(x.shape)],
    )
    full = np.broadcast_to(temperature, x.shape)
    keep = np.ones(x.shape, dtype=bool) if mask is None else np.broadcast_to(mask, x.shape)
    rows, back = _rows(x, axes)
    keeps, _ = _rows(keep, axes)
    temperatures, _ = _rows(full, axes)
    out = np.full(rows.shape, mpmath.mpf(0), dtype=object)
    for r, (row, kept, divisor) in enumerate(zip(rows, keeps, temperatures, strict=True)):
        alive = [i for i in range(len(row)) if kept[i] and row[i] != -INF]
        if any(mpmath.isnan(row[i]) for i in alive):
            out[r, alive] = mpmath.nan
        elif alive:
            peaks = [i for i in alive if row[i] == INF]
            scores = [mpmath.mpf(0)] * len(peaks) if peaks else [row[i] / divisor[i] for i in alive]
            out[r, peaks or alive] = softmax_row(scores)
    return back(out)


def _coordinate(n, kind):
    if kind == "index" or n == 1:
        return [mpmath.mpf(i if kind == "index" else 0) for i in range(n)]
    if kind == "corner":
        return [mpmath.mpf(2 * i) / (n - 1) - 1 for i in range(n)]
    return [mpmath.mpf(2 * i + 1) / n - 1 for i in range(n)]


def mean_row(p, c):
    return mpmath.fsum(a * b for a, b in zip(p, c, strict=True))


def median_row(p, c):
    place = c[0]
    for j in range(len(p) - 1):
        above = mpmath.fsum(p[j + 1 :])
        place += (c[j + 1] - c[j]) * min(max(2 * above - 1, mpmath.mpf(0)), mpmath.mpf(1))
    return place


def variance_row(p, c):
    center = mean_row(p, c)
    return mpmath.fsum(a * (b - center) ** 2 for a, b in zip(p, c, strict=True))


READOUTS = {"mean": mean_row, "median": median_row, "variance": variance_row}


def _reduce(p, c, axis, row_function):
    moved, places = np.moveaxis(p, axis, -1), np.moveaxis(np.broadcast_to(c, p.shape), axis, -1)
    out = np.empty(moved.shape[:-1], dtype=object)
    for index in np.ndindex(out.shape):
        row = list(moved[index])
        out[index] = row_function(row, list(places[index])) if any(value != 0 for value in row) else mpmath.nan
    return out


def soft_argmax(x, *, axis=None, keepdims=False, temperature=1, mask=None, positions=None, readout="mean"):
    ndim = x.ndim
    if axis is None:
        temperature = np.asarray(temperature, dtype=object).reshape(-1)[0]
        mask = None if mask is None else np.broadcast_to(mask, x.shape).reshape(-1)
        positions = positions.reshape(-1) if positions is not None else None
        x, axis, lost = x.reshape(-1), 0, tuple(range(ndim))
    else:
        axis %= ndim
        lost = (axis,)
    p = weights(x, axes=(axis,), temperature=temperature, mask=mask)
    c = np.array(_coordinate(x.shape[axis], "index"), dtype=object) if positions is None else positions
    if c.ndim == 1:
        c = c.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    y = _reduce(p, c, axis, READOUTS[readout])
    return np.expand_dims(y, lost) if keepdims else y


def soft_argmin(x, **options):
    return soft_argmax(-x, **options)


def soft_argmax_moments(x, **options):
    return soft_argmax(x, **options), soft_argmax(x, readout="variance", **options)


def soft_one_hot(x, *, axis=-1, temperature=1, mask=None):
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return weights(x, axes=axes, temperature=temperature, mask=mask)


def spatial_soft_argmax(x, *, axes=(-2, -1), coordinates="index", temperature=1, mask=None, readout="mean"):
    axes = tuple(axis % x.ndim for axis in axes)
    p = weights(x, axes=axes, temperature=temperature, mask=mask)
    answers = []
    for axis in axes:
        others = tuple(other for other in axes if other != axis)
        marginal = p.sum(axis=others) if others else p
        place = axis - sum(other < axis for other in others)
        c = np.array(_coordinate(x.shape[axis], coordinates), dtype=object).reshape(
            (-1,) + (1,) * (marginal.ndim - place - 1)
        )
        answers.append(_reduce(marginal, c, place, READOUTS[readout]))
    return np.stack(answers, axis=-1)


def sharpen(p, *, axis=-1, power=10.0, rounds=1):
    moved = np.moveaxis(p, axis, -1)
    out = np.empty(moved.shape, dtype=object)
    for index in np.ndindex(moved.shape[:-1]):
        row = [mpmath.mpf(value) for value in moved[index]]
        for _ in range(rounds):
            row = [value ** mpmath.mpf(power) for value in row]
        total = mpmath.fsum(row)
        out[index] = [value / total if total else mpmath.mpf(0) for value in row]
    return np.moveaxis(out, -1, axis)


def derivative(f, x, t):
    """Directional derivative ``J t`` of f (arrays of mpmath numbers to one, or to a tuple)."""
    above, below = f(x + STEP * t), f(x - STEP * t)
    if isinstance(above, tuple):
        return tuple((a - b) / (2 * STEP) for a, b in zip(above, below, strict=True))
    return (above - below) / (2 * STEP)
