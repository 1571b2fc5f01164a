"""The functions of the library under the same names, computed on arrays of decimal numbers."""

from decimal import Decimal

import numpy as np

from .decimals import INF, NAN, ONE, ZERO, number, precise
from .rows import background_row, top_k_row
from .weights import weights


def _coordinate(n, kind):
    if kind == "index" or n == 1:
        return [Decimal(i if kind == "index" else 0) for i in range(n)]
    if kind == "corner":
        return [Decimal(2 * i) / (n - 1) - 1 for i in range(n)]
    return [Decimal(2 * i + 1) / n - 1 for i in range(n)]


def mean_row(p, c):
    return sum(a * b for a, b in zip(p, c, strict=True))


def median_row(p, c):
    place = c[0]
    for j in range(len(p) - 1):
        above = sum(p[j + 1 :])
        place += (c[j + 1] - c[j]) * min(max(2 * above - 1, ZERO), ONE)
    return place


def variance_row(p, c):
    center = mean_row(p, c)
    return sum(a * (b - center) ** 2 for a, b in zip(p, c, strict=True))


READOUTS = {"mean": mean_row, "median": median_row, "variance": variance_row}


def _read(row_function, row, places):
    """A readout of one row; NaN where there is no weight, or a weight is NaN."""
    answered = any(value != 0 for value in row) and not any(value.is_nan() for value in row)
    return row_function(row, places) if answered else NAN


def _reduce(p, c, axis, row_function):
    moved, places = np.moveaxis(p, axis, -1), np.moveaxis(np.broadcast_to(c, p.shape), axis, -1)
    out = np.empty(moved.shape[:-1], dtype=object)
    for index in np.ndindex(out.shape):
        row = list(moved[index])
        out[index] = _read(row_function, row, list(places[index]))
    return out


@precise
def soft_argmax(x, *, axis=None, keepdims=False, positions=None, readout="mean", zero_background=False, **options):
    ndim = x.ndim
    if axis is None:
        for name in ("temperature", "alpha"):
            if name in options:
                options[name] = np.asarray(options[name], dtype=object).reshape(-1)[0]
        if options.get("mask") is not None:
            options["mask"] = np.broadcast_to(options["mask"], x.shape).reshape(-1)
        positions = positions.reshape(-1) if positions is not None else None
        x, axis, lost = x.reshape(-1), 0, tuple(range(ndim))
    else:
        axis %= ndim
        lost = (axis,)
    p = weights(x, axes=(axis,), row=background_row if zero_background else None, **options)
    c = np.array(_coordinate(x.shape[axis], "index"), dtype=object) if positions is None else positions
    if c.ndim == 1:
        c = c.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    y = _reduce(p, c, axis, READOUTS[readout])
    return np.expand_dims(y, lost) if keepdims else y


@precise
def soft_argmin(x, **options):
    return soft_argmax(np.asarray(-x, dtype=object), **options)


@precise
def soft_argmax_moments(x, **options):
    return soft_argmax(x, **options), soft_argmax(x, readout="variance", **options)


@precise
def soft_one_hot(x, *, axis=-1, **options):
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return weights(x, axes=axes, **options)


@precise
def soft_top_k(x, *, k, axis=-1, kind="capped", **options):
    return weights(x, axes=(axis,), row=lambda scores, k=k: top_k_row(scores, k, kind), k=k, **options)


@precise
def spatial_soft_argmax(x, *, axes=(-2, -1), coordinates="index", readout="mean", zero_background=False, **options):
    if readout == "moments":
        rest = {"axes": axes, "coordinates": coordinates, "zero_background": zero_background} | options
        return spatial_soft_argmax(x, **rest), spatial_soft_argmax(x, readout="variance", **rest)
    axes = tuple(axis % x.ndim for axis in axes)
    p = weights(x, axes=axes, row=background_row if zero_background else None, **options)
    answers = []
    for axis in axes:
        others = tuple(other for other in axes if other != axis)
        marginal = p.sum(axis=others) if others else p
        place = axis - sum(other < axis for other in others)
        c = np.array(_coordinate(x.shape[axis], coordinates), dtype=object)
        c = c.reshape((-1,) + (1,) * (marginal.ndim - place - 1))
        answers.append(_reduce(marginal, c, place, READOUTS[readout]))
    return np.stack(answers, axis=-1)


def _entropy(p, alpha):
    """Tsallis entropy of order alpha."""
    alive = [number(value) for value in p if value > 0]
    if alpha == 1:
        return -sum(value * value.ln() for value in alive)
    alpha = number(alpha)
    return sum(value - value**alpha for value in alive) / (alpha * (alpha - 1))


def _loss_of_row(q, y, scores, keep, divisor, alpha):
    """The loss of weights q and target y; +inf where the target has weight on what is not kept."""
    if not keep.any():
        return ZERO
    if any(value.is_nan() for value in q):
        return NAN
    peak = INF in [scores[i] for i in range(len(q)) if keep[i]]
    if any(y[i] > 0 and (not keep[i] or (peak and scores[i] != INF)) for i in range(len(q))):
        return INF
    kept = [] if peak else [i for i in range(len(q)) if q[i] > 0 or y[i] > 0]
    conjugate = sum(q[i] * scores[i] for i in kept) + divisor * _entropy(q, alpha)
    return conjugate - divisor * _entropy(y, alpha) - sum(number(y[i]) * scores[i] for i in kept)


@precise
def fenchel_young_loss(x, *, target, axis=-1, alpha=1, temperature=1, mask=None):
    """Conjugate of the scores, plus that of the target, less their product."""
    p = np.moveaxis(weights(x, axes=(axis,), alpha=alpha, temperature=temperature, mask=mask), axis, -1)
    keep = np.broadcast_to(True if mask is None else mask, x.shape) & np.asarray(x != -INF, dtype=bool)
    keep = np.moveaxis(keep, axis, -1)
    reduced = [1 if k == axis % x.ndim else n for k, n in enumerate(x.shape)]
    x = np.moveaxis(x, axis, -1)
    target = np.asarray(target)
    target = np.eye(x.shape[-1])[target] if target.dtype.kind == "i" else np.moveaxis(target, axis, -1)
    divisors = np.moveaxis(np.broadcast_to(np.asarray(temperature, dtype=object), reduced), axis, -1)
    out = np.empty(x.shape[:-1], dtype=object)
    for index in np.ndindex(out.shape):
        q, y, scores, divisor = p[index], target[index], x[index], number(divisors[index][0])
        out[index] = _loss_of_row(q, y, scores, keep[index], divisor, alpha)
    return out


@precise
def sharpen(p, *, axis=-1, power=10.0, rounds=1):
    moved = np.moveaxis(p, axis, -1)
    out = np.empty(moved.shape, dtype=object)
    for index in np.ndindex(moved.shape[:-1]):
        row = [number(value) for value in moved[index]]
        if any(value.is_nan() for value in row):
            row = [NAN] * len(row)
        if INF in row:
            row = [Decimal(int(value == INF)) for value in row]
        for _ in range(rounds):
            row = [value ** number(power) for value in row]
        total = sum(row)
        out[index] = [value / total if total else ZERO for value in row]
    return np.moveaxis(out, -1, axis)
