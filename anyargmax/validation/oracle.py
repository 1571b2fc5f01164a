"""An independent implementation in 50 digits: loops over rows of decimal numbers, no rule of the library.

Derivatives are central differences with a step of 1e-20, good to about 30 digits.
"""

import math
from collections.abc import Callable
from decimal import Context, Decimal, getcontext, localcontext
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

DIGITS = 50
STEP = Decimal(10) ** -20
ZERO, ONE = Decimal(0), Decimal(1)
INF, NAN = Decimal("Infinity"), Decimal("NaN")


def digits(number: int = DIGITS):
    """Compute with so many decimal digits in this scope, NaN and infinity being numbers as in floating point."""
    return localcontext(Context(prec=number, traps=[]))


def precise(f: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function compute with 50 digits, or with more where the caller asked for them."""

    @wraps(f)
    def in_digits(*args, **options):
        with digits(max(DIGITS, getcontext().prec)):
            return f(*args, **options)

    return in_digits


def number(value) -> Decimal:
    """The decimal number that is exactly a float."""
    return value if isinstance(value, Decimal) else Decimal(float(value))


def exact(values):
    """Array of decimal numbers that are exactly the given floats."""
    values = np.asarray(values)
    out = np.empty(values.shape, dtype=object)
    for index in np.ndindex(values.shape):
        out[index] = number(values[index])
    return out


def rounded(values):
    """Back to float64."""
    return np.vectorize(float, otypes=[np.float64])(values) if np.size(values) else np.zeros(np.shape(values))


@precise
def softmax_row(scores):
    top = max(scores)
    e = [(score - top).exp() for score in scores]
    total = sum(e)
    return [value / total for value in e]


def _root(guess, excess, low, high):
    """Bisection in floats, by `guess(t)`, refined by Newton in 50 digits: `excess(t)` is a value and a slope."""
    a, b = float(low), float(high)
    while a < (middle := (a + b) / 2) < b:
        a, b = (middle, b) if guess(middle) > 0 else (a, middle)
    t, negligible = Decimal(b), Decimal(10) ** (4 - getcontext().prec)
    for _ in range(8):
        value, slope = excess(t)
        step = value / slope if slope else ZERO
        t += step
        if abs(step) < negligible:
            break
    return t


@precise
def entmax_row(scores, alpha=1):
    """Weights ``[1 + (alpha - 1)(z - t)]_+^(1 / (alpha - 1))``."""
    if alpha == 1:
        return softmax_row(scores)
    top, a = max(scores), number(alpha) - 1
    z = [score - top for score in scores]
    floats, order = [float(max(value, -1e300)) for value in z], float(a)

    def guess(t):
        bases = (order * (value - t) for value in floats)
        return sum(math.exp(math.log1p(base) / order) for base in bases if base > -1) - 1

    def excess(t):
        bases = [base for base in (1 + a * (value - t) for value in z) if base > 0]
        return sum(base ** (1 / a) for base in bases) - 1, sum(base ** (1 / a - 1) for base in bases)

    t = _root(guess, excess, 0, math.log(len(z)) + 1e-9)
    return [max(1 + a * (value - t), ZERO) ** (1 / a) for value in z]


def _snapped(p):
    """A weight that is 0 or 1 but for the last digits of its threshold, as that."""
    nearest = p.to_integral_value()
    return nearest if abs(p - nearest) < Decimal(10) ** (10 - getcontext().prec) else p


def _logistic(u):
    p = 1 / (1 + (-u).exp())
    return p, p * (1 - p)


class Winners(NamedTuple):
    """How weights share a sum of k: phi in floats, phi and its slope in 50 digits, and how far from the scores thresholds lie."""

    guess: Callable[[float], float]
    exact: Callable[[Decimal], tuple[Any, Any]]
    below: float
    above: float


WINNERS = {
    "capped": Winners(lambda u: min(max(u, 0.0), 1.0), lambda u: (min(max(u, ZERO), ONE), int(0 < u < 1)), 1, 0),
    "sigmoid": Winners(lambda u: 0.5 * (1 + math.tanh(u / 2)), _logistic, 50, 50),
}


@precise
def top_k_row(scores, k, kind):
    """Weights ``phi(x - t)`` that sum to k."""
    if len(scores) <= k:
        return [ONE] * len(scores)
    reference, winners = sorted(scores)[-k], WINNERS[kind]
    z = [score - reference for score in scores]
    floats = [float(value) for value in z]

    def guess(t):
        return sum(winners.guess(value - t) for value in floats) - k

    def excess(t):
        values, slopes = zip(*(winners.exact(value - t) for value in z), strict=True)
        return sum(values) - k, sum(slopes)

    t = _root(guess, excess, min(floats) - winners.below, max(floats) + winners.above)
    return [_snapped(winners.exact(value - t)[0]) for value in z]


@precise
def background_row(scores):
    """Weights proportional to ``exp(x) - 1``, here with both divided by the exponential of the largest score."""
    top = max(scores)
    w = [(score - top).exp() - (-top).exp() for score in scores]
    total = sum(w)
    return [value / total for value in w] if total else [ONE / len(w)] * len(w)


def _rows(x, axes):
    """Views of x as (rows, entries), and how to put (rows, entries) back."""
    axes = [axis % x.ndim for axis in axes]
    others = [axis for axis in range(x.ndim) if axis not in axes]
    moved = np.transpose(x, others + axes)
    shape = moved.shape
    flat = moved.reshape((-1, int(np.prod([x.shape[axis] for axis in axes]))))
    return flat, lambda rows: np.transpose(rows.reshape(shape), np.argsort(others + axes))


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


@precise
def derivative(f, x, t):
    """Directional derivative ``J t`` of f (arrays of decimal numbers to one, or to a tuple)."""
    above, below = (f(np.asarray(moved, dtype=object)) for moved in (x + STEP * t, x - STEP * t))
    if isinstance(above, tuple):
        return tuple((a - b) / (2 * STEP) for a, b in zip(above, below, strict=True))
    return (above - below) / (2 * STEP)
