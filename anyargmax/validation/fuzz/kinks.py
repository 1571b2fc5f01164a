"""Find whether a call lies on a kink, by weights that are computed once more, by bisection in float64."""

from typing import NamedTuple

import numpy as np

from ..invariants import MAPS, READERS
from ..tolerance import EPS
from .case import Case

# The weights judge nothing but whether, and how closely, a gradient is determined by the scores at all.

GRID = (
    64.0  # multiples of 1/2 up to here, at a temperature that is a power of 2: their arithmetic is exact in every dtype
)


class Rows(NamedTuple):
    """The rows of a call: scaled scores, where they take part, weights, the order of each, and the distance to an edge."""

    z: np.ndarray
    keep: np.ndarray
    p: np.ndarray
    alpha: np.ndarray
    margin: float


def _bisected(excess, low, high):
    """The roots of decreasing functions, one a row."""
    for _ in range(80):
        middle = (low + high) / 2
        above = excess(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _powered(z, t, alpha):
    a = np.maximum(alpha - 1, 1e-12)
    base = np.maximum(1 + a * (z - t), 0.0)
    return np.where(base > 0, base, 0.0) ** (1 / a)


_last: list = [None, None]  # the case that was looked at last, and its rows: several questions are asked of each


def near_argmax(case: Case) -> np.ndarray:
    """Which scores are within the window of the first largest kept one, in the shape of the scores."""
    windows = case.option("window")
    kept = case.mask & (signed(case) > -np.inf)
    if windows is None or not case.x.size or not case.axes:
        return kept
    axes = case.axes
    windows = windows if isinstance(windows, tuple) else (windows,) * len(axes)
    lengths = tuple(case.x.shape[axis] for axis in axes)
    chosen = np.argmax(case.rows(np.where(kept, signed(case), -np.inf)), axis=1)
    inside = np.ones((len(chosen), *lengths), dtype=bool)
    for k, (place, window) in enumerate(zip(np.unravel_index(chosen, lengths), windows, strict=True)):
        index = np.arange(lengths[k]).reshape((-1,) + (1,) * (len(lengths) - k - 1))
        inside &= np.abs(index - place.reshape((-1,) + (1,) * len(lengths))) <= window
    others = tuple(k for k in range(case.x.ndim) if k not in axes)
    laid = inside.reshape(tuple(case.x.shape[k] for k in others) + lengths)
    return kept & np.transpose(laid, np.argsort(others + axes))


def signed(case: Case) -> np.ndarray:
    """The scores of which the largest is looked for, as float64."""
    x = np.asarray(case.x, dtype=np.float64)
    return -x if case.call.function == "soft_argmin" else x


def rows(case: Case) -> Rows:
    """Look at the rows of a call; those with a kept infinite or NaN score, or with none kept, have no say."""
    if _last[0] is not case:
        _last[:] = case, _rows(case)
    return _last[1]


def _rows(case: Case) -> Rows:
    k, alpha = case.option("k"), np.asarray(case.option("alpha", 1.0), dtype=float)
    capped = k is not None and case.option("kind", "capped") == "capped"
    x, keep = case.rows(signed(case)), case.rows(near_argmax(case))
    temperature, alpha = (np.array(case.rows(value), dtype=float) for value in (case.option("temperature", 1.0), alpha))
    usable = np.all(np.isfinite(x) | ~keep, axis=1) & keep.any(axis=1)
    x, temperature, alpha, keep = (part[usable] for part in (x, temperature, alpha, keep))
    if not x.size or not (capped or np.any(alpha != 1)):
        return Rows(x, keep, np.ones(x.shape), alpha, np.inf)
    raw = np.sort(np.where(keep, x, -np.inf), axis=1)
    top = raw[:, -(k or 1)][:, None]
    top = np.where(np.isinf(top), raw[:, -1:], top)
    with np.errstate(all="ignore"):
        z = np.clip(np.where(keep, (x - top) / temperature, -1e300), -1e300, 1e300)
        if capped:
            t = _bisected(lambda t: np.clip(z - t, 0, 1).sum(axis=1, keepdims=True) - k, top * 0 - 1, top * 0 + 1)
            p, edge = np.clip(z - t, 0, 1), np.minimum(np.abs(z - t), np.abs(z - t - 1))
            edge = np.where(keep.sum(axis=1, keepdims=True) > k, edge, np.inf)
        else:
            high = np.log(x.shape[1]) + 1e-9 + top * 0
            t = _bisected(lambda t: _powered(z, t, alpha).sum(axis=1, keepdims=True) - 1, top * 0, high)
            p = _powered(z, t, alpha)
            edge = np.where(alpha == 1, np.inf, np.abs(z - t + 1 / np.maximum(alpha - 1, 1e-12)))
    return Rows(z, keep, p, alpha, float(np.min(np.where(keep, edge, np.inf), initial=np.inf)))


def is_exact(case: Case) -> bool:
    """Whether scores and temperatures are such that every framework computes the same scaled scores, to the bit."""
    x = np.asarray(case.x, dtype=np.float64)
    finite = x[np.isfinite(x) & case.mask]
    grid = bool(np.all(np.abs(finite) <= GRID) and np.all(finite * 2 == np.round(finite * 2)))
    return grid and bool(np.all(np.frexp(np.asarray(case.option("temperature", 1.0), dtype=float))[0] == 0.5))


def is_determined(case: Case, dtype: str, orders: float = 1.0) -> bool:
    """Whether the gradient does not hang on rounding: no score lies within rounding of the edge of the support.

    On the edge itself, reached by exact arithmetic, every framework must find the same. Off it, a score that is as
    near as the rounding errors of its threshold may be taken for either side, and its slope is O(1) or 0. For
    ``orders`` above 1, as a second derivative has it, more room is asked for.
    """
    if is_exact(case) and orders == 1:
        return True
    return rows(case).margin > 256 * orders * EPS[dtype]


def has_median_kink(case: Case) -> bool:
    """Whether a median lies on a kink: where exactly a half, or all, of the weight has passed, the slope jumps.

    All of it has passed wherever weights are 0 in floating point: there both slopes are 0, but in the last digit.
    """
    if case.option("readout") != "median":
        return False
    given = case.call.function in READERS
    p = (
        _given_weights(case)
        if given
        else _background_weights(case)
        if case.option("zero_background")
        else _smooth_weights(case)
    )
    lengths = tuple(case.x.shape[k] for k in case.axes)
    if case.call.function not in MAPS:
        lengths = (p.shape[1],)
    p = p.reshape((-1, *lengths))
    for k in range(len(lengths)):
        marginal = p.sum(axis=tuple(j + 1 for j in range(len(lengths)) if j != k))
        above = (marginal.sum(axis=1, keepdims=True) if given else 1) - np.cumsum(marginal, axis=1)[:, :-1]
        if given and np.any(np.abs(above - 1) < 1e-3):
            return True
        if np.any(np.abs(above - 0.5) < 1e-3) or np.any((np.abs(above - 1) < 1e-6) & (above != 1)):
            return True
    return False


def _given_weights(case: Case) -> np.ndarray:
    """Weights that are given, of the rows without a NaN."""
    p = np.where(case.rows(case.mask), case.rows(case.x), 0.0).astype(float)
    return p[np.isfinite(p).all(axis=1)]


def _smooth_weights(case: Case) -> np.ndarray:
    """The weights of the usable rows."""
    r = rows(case)
    if np.any(r.alpha != 1):
        return r.p
    usable = case.rows(near_argmax(case)).any(axis=1) & np.all(
        np.isfinite(case.rows(signed(case))) | ~case.rows(near_argmax(case)), axis=1
    )
    temperature = case.rows(case.option("temperature", 1.0))[usable]
    kept = np.where(r.keep, r.z, -np.inf)
    with np.errstate(all="ignore"):
        e = np.exp((kept - np.max(kept, axis=1, keepdims=True, initial=-np.inf)) / temperature)
    return e / np.sum(e, axis=1, keepdims=True)


def _background_weights(case: Case) -> np.ndarray:
    """The weights of all rows on a zero background; even ones where they are 0 or infinite."""
    x, keep = case.rows(signed(case)), case.rows(near_argmax(case))
    with np.errstate(all="ignore"):
        z = np.where(keep, x, 0.0) / case.rows(case.option("temperature", 1.0))
        top = np.max(z, axis=1, keepdims=True, initial=0.0)
        e = np.where(keep, np.where(top > 1, np.exp(z - top) - np.exp(-top), np.expm1(z)), 0.0)
        p = e / np.sum(e, axis=1, keepdims=True)
    return np.where(np.isfinite(p), p, 1 / max(x.shape[1], 1))
