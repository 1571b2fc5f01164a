"""The functions of the library under the same names, computed on arrays of decimal numbers."""

from decimal import Decimal

import numpy as np

from .decimals import INF, NAN, ONE, ZERO, number, precise
from .normal import largest_row
from .rows import background_row, top_k_row
from .weights import along_axis, weights


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


def _read(row_function, row, places, sure=False):
    """A readout of one row; NaN where there is no weight, or a weight is NaN, unless it is sure that there is an answer."""
    return NAN if not sure and _is_blank(row) else row_function(row, places)


def _reduce(p, c, axis, row_function, sure=False):
    moved, places = np.moveaxis(p, axis, -1), np.moveaxis(np.broadcast_to(c, p.shape), axis, -1)
    out = np.empty(moved.shape[:-1], dtype=object)
    for index in np.ndindex(out.shape):
        row = list(moved[index])
        out[index] = _read(row_function, row, list(places[index]), sure)
    return out


def _laid(values, ndim, axis):
    """Positions along an axis, or as they are if they have all axes."""
    return values.reshape((-1,) + (1,) * (ndim - axis - 1)) if values.ndim == 1 else values


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
    y = _reduce(p, _laid(c, x.ndim, axis), axis, READOUTS[readout])
    return np.expand_dims(y, lost) if keepdims else y


@precise
def soft_argmin(x, **options):
    return soft_argmax(np.asarray(-x, dtype=object), **options)


@precise
def soft_argmax_moments(x, **options):
    return soft_argmax(x, **options), soft_argmax(x, readout="variance", **options)


@precise
def expectation(p, *, axis=None, keepdims=False, positions=None, readout="mean", mask=None):
    if readout == "moments":
        rest = {"axis": axis, "keepdims": keepdims, "positions": positions, "mask": mask}
        return expectation(p, **rest), expectation(p, readout="variance", **rest)
    ndim, p = p.ndim, _masked(p, mask)
    lost = tuple(range(ndim)) if axis is None else (axis % ndim,)
    if axis is None:
        p, positions = p.reshape(-1), None if positions is None else positions.reshape(-1)
    axis = 0 if axis is None else lost[0]
    c = np.array(_coordinate(p.shape[axis], "index"), dtype=object) if positions is None else positions
    y = _reduce(p, _laid(c, p.ndim, axis), axis, READOUTS[readout])
    return np.expand_dims(y, lost) if keepdims else y


def _masked(p, mask):
    return p if mask is None else np.where(mask, p, np.asarray(ZERO, dtype=object))


@precise
def soft_one_hot(x, *, axis=-1, log=False, **options):
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    p = weights(x, axes=axes, **options)
    return _logarithms(p) if log else p


def _logarithms(p):
    out = np.empty(p.shape, dtype=object)
    for index in np.ndindex(p.shape):
        value = number(p[index])
        out[index] = value if value.is_nan() else value.ln() if value > 0 else -INF
    return out


@precise
def soft_top_k(x, *, k, axis=-1, kind="capped", **options):
    return weights(x, axes=(axis,), row=lambda scores, k=k: top_k_row(scores, k, kind), k=k, **options)


@precise
def argmax_probability(x, *, axis=-1, scale=1, distribution="normal", mask=None):
    if distribution == "gumbel":
        return weights(x, axes=(axis,), temperature=scale, mask=mask)
    scale = np.broadcast_to(np.asarray(scale, dtype=object), x.shape)
    keep = np.ones(x.shape, dtype=bool) if mask is None else np.broadcast_to(mask, x.shape)
    return along_axis(_chances, axis, x, scale, keep)


def _chances(scores, scales, keep):
    """Probabilities of one row: 0 for what is not kept."""
    alive = [i for i in range(len(scores)) if keep[i] and scores[i] != -INF]
    peaks = [i for i in alive if scores[i] == INF]
    p = np.full(len(scores), ZERO, dtype=object)
    if any(scores[i].is_nan() for i in alive):
        p[:] = NAN
    elif peaks:
        p[peaks] = ONE / len(peaks)
    elif alive:
        p[alive] = largest_row([scores[i] for i in alive], [number(scales[i]) for i in alive])
    return p


@precise
def spatial_soft_argmax(x, *, axes=(-2, -1), coordinates="index", readout="mean", zero_background=False, **options):
    row = background_row if zero_background else None
    p = weights(x, axes=tuple(axis % x.ndim for axis in axes), row=row, **options)
    return spatial_expectation(p, axes=axes, coordinates=coordinates, readout=readout)


@precise
def spatial_expectation(p, *, axes=(-2, -1), coordinates="index", readout="mean", mask=None):
    p, axes = _masked(p, mask), tuple(axis % p.ndim for axis in axes)
    if readout == "moments":
        return tuple(_along_each(p, axes, coordinates, READOUTS[name]) for name in ("mean", "variance"))
    if readout == "covariance":
        return _along_each(p, axes, coordinates, mean_row), _covariance(p, axes, coordinates)
    return _along_each(p, axes, coordinates, READOUTS[readout])


def _along_each(p, axes, coordinates, row_function):
    """A readout along each of the axes. What is read of weights of any sum is not that of marginals, but for the median."""
    answers = []
    for axis in axes:
        others = tuple(other for other in axes if other != axis)
        if row_function is median_row and others:
            blank = _reduce_all(p, axes, lambda row: NAN if _is_blank(row) else ZERO)
            marginal = p.sum(axis=others)
            place = axis - sum(other < axis for other in others)
            c = _laid(np.array(_coordinate(p.shape[axis], coordinates), dtype=object), marginal.ndim, place)
            answers.append(blank + _reduce(marginal, c, place, median_row, sure=True))
            continue
        c = np.broadcast_to(
            _laid(np.array(_coordinate(p.shape[axis], coordinates), dtype=object), p.ndim, axis), p.shape
        )
        answers.append(_reduce_all(p, axes, lambda row, places: _read(row_function, row, places), c))
    return np.stack(answers, axis=-1)


def _is_blank(row):
    return all(value == 0 for value in row) or any(value.is_nan() for value in row)


def _reduce_all(p, axes, f, *others):
    """A function of the entries of p along several axes, and of other arrays of its shape."""
    count = int(np.prod([p.shape[axis] for axis in axes]))
    rest = [axis for axis in range(p.ndim) if axis not in axes]
    moved = [
        np.transpose(array, rest + list(axes)).reshape(*(p.shape[axis] for axis in rest), count)
        for array in (p, *others)
    ]
    out = np.empty(moved[0].shape[:-1], dtype=object)
    for index in np.ndindex(out.shape):
        out[index] = f(*(list(array[index]) for array in moved))
    return out


def _covariance(p, axes, coordinates):
    tables = [
        np.broadcast_to(_laid(np.array(_coordinate(p.shape[axis], coordinates), dtype=object), p.ndim, axis), p.shape)
        for axis in axes
    ]

    def covariance(row, c, d):
        if _is_blank(row):
            return NAN
        m, n = mean_row(row, c), mean_row(row, d)
        return sum(a * (b - m) * (e - n) for a, b, e in zip(row, c, d, strict=True))

    rows = [np.stack([_reduce_all(p, axes, covariance, c, d) for d in tables], axis=-1) for c in tables]
    return np.stack(rows, axis=-2)


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
def fenchel_young_loss(x, *, target, axis=-1, alpha=1, temperature=1, mask=None, ignore_index=None):
    """Conjugate of the scores, plus that of the target, less their product."""
    if isinstance(axis, tuple):
        return _loss_over(x, target, axis, temperature, mask, {"alpha": alpha, "ignore_index": ignore_index})
    target = np.asarray(target)
    if ignore_index is not None:
        counted = np.expand_dims(target != ignore_index, axis)
        target, mask = np.where(counted.squeeze(axis), target, 0), counted if mask is None else counted & mask
    p = np.moveaxis(weights(x, axes=(axis,), alpha=alpha, temperature=temperature, mask=mask), axis, -1)
    keep = np.broadcast_to(True if mask is None else mask, x.shape) & np.asarray(x != -INF, dtype=bool)
    keep = np.moveaxis(keep, axis, -1)
    reduced = [1 if k == axis % x.ndim else n for k, n in enumerate(x.shape)]
    x = np.moveaxis(x, axis, -1)
    target = np.eye(x.shape[-1])[target] if target.dtype.kind == "i" else np.moveaxis(target, axis, -1)
    divisors = np.moveaxis(np.broadcast_to(np.asarray(temperature, dtype=object), reduced), axis, -1)
    out = np.empty(x.shape[:-1], dtype=object)
    for index in np.ndindex(out.shape):
        q, y, scores, divisor = p[index], target[index], x[index], number(divisors[index][0])
        out[index] = _loss_of_row(q, y, scores, keep[index], divisor, alpha)
    return out


def _loss_over(x, target, axes, temperature, mask, options):
    """The loss over several axes: over one, into which they are moved."""
    axes = [axis % x.ndim for axis in axes]
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    count = int(np.prod([x.shape[axis] for axis in axes]))

    def merged(values, length):
        values = np.broadcast_to(np.asarray(values), [x.shape[k] if k in rest or length else 1 for k in range(x.ndim)])
        return np.transpose(values, rest + axes).reshape(*(x.shape[k] for k in rest), count if length else 1)

    target = np.asarray(target)
    return fenchel_young_loss(
        merged(x, True),
        target=target if target.dtype.kind == "i" else merged(target, True),
        temperature=merged(np.asarray(temperature, dtype=object), False),
        mask=None if mask is None else merged(mask, True),
        **options,
    )


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
