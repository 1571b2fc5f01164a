"""How well a call is conditioned: what its rounding errors are relative to, and whether it sits on a kink.

Weights are found here once more, by bisection in float64, so as to know where the support of a row ends. They judge
nothing but whether, and how closely, a gradient is determined by the scores at all.
"""

from typing import NamedTuple

import numpy as np

from ..invariants import derivative_scale
from ..problems import cotangents
from ..tolerance import EPS
from .case import Case

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
    p = _smooth_weights(case) if not case.option("zero_background") else _background_weights(case)
    lengths = tuple(case.x.shape[k] for k in case.axes)
    if case.call.function != "spatial_soft_argmax":
        lengths = (p.shape[1],)
    p = p.reshape((-1, *lengths))
    for k in range(len(lengths)):
        marginal = p.sum(axis=tuple(j + 1 for j in range(len(lengths)) if j != k))
        above = 1 - np.cumsum(marginal, axis=1)[:, :-1]
        if np.any(np.abs(above - 0.5) < 1e-3) or np.any((np.abs(above - 1) < 1e-6) & (above != 1)):
            return True
    return False


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


def slope(case: Case) -> float:
    """The largest slope of a weight, ``p^(2 - alpha)``, with which an error of the threshold comes back: above 1 for alpha > 2."""
    r = rows(case)
    p = np.where((r.p > 0) & (r.alpha > 2), r.p, 1.0)
    return float(np.max(p ** np.minimum(2 - r.alpha, 0.0), initial=1.0))


def bend(case: Case) -> float:
    """The largest change of a slope, ``|2 - alpha| p^(3 - 2 alpha)``: above 1 for alpha > 1.5 at the edge of the support."""
    r = rows(case)
    p = np.where((r.p > 0) & (r.alpha > 1.5), r.p, 1.0)
    with np.errstate(over="ignore"):
        found = np.abs(2 - r.alpha) * p ** np.minimum(3 - 2 * r.alpha, 0.0)
    return max(float(np.max(found, initial=1.0)), slope(case))


def span(case: Case) -> float:
    """The size of what weights are multiplied by: positions, squared for a variance; for a loss the scores and T."""
    name, call = case.call.function, case.call
    if name in ("soft_one_hot", "soft_top_k", "sharpen"):
        return 1.0
    if name == "fenchel_young_loss":
        x = np.asarray(case.x, dtype=np.float64)
        finite = np.abs(x[np.isfinite(x) & case.mask])
        return (
            float(
                max(
                    1.0,
                    2 * np.max(finite, initial=0.0),
                    np.max(np.asarray(case.option("temperature", 1.0)), initial=0.0),
                )
            )
            * 4
        )
    warm = case.with_options(temperature=1.0).call._replace(shape=case.x.shape)
    places = derivative_scale(warm)
    moments = name == "soft_argmax_moments" or call.options.get("readout") == "moments"
    # Twice for a median, whose weights are doubled; and for a variance, whose positions are as far from the mean.
    return 4 * places**2 if moments else 2 * places if call.options.get("readout") == "median" else places


def _total(case: Case) -> float:
    """What `sharpen` raises to."""
    return float(case.option("power", 10.0)) ** int(case.option("rounds", 1))


def _logarithms(case: Case) -> np.ndarray:
    """Logarithms of the weights that `sharpen` is of, 0 where there is none."""
    x = np.asarray(case.x, dtype=np.float64)
    return np.log(np.where((x > 0) & np.isfinite(x), x, 1.0))


def _in_order(case: Case) -> float:
    """How much more than a table allows is lost in sums of long rows along an inner axis, which are added up in order."""
    inner = case.scene.length > 1000 and max(case.axes) < case.x.ndim - 1
    return max(1.0, case.scene.length**0.5 / 16) if inner else 1.0


def value_scale(case: Case) -> float:
    """What errors of a value are relative to, at least.

    `sharpen` goes through logarithms, whose rounding errors the power multiplies.
    """
    return _in_order(case) * _value_scale(case)


def _value_scale(case: Case) -> float:
    if case.call.function == "sharpen":
        return max(1.0, _total(case) * float(np.max(np.abs(_logarithms(case)), initial=0.0)))
    return span(case) * slope(case)


def _heat(case: Case) -> float:
    """How much a weight moves with a score: 1 / T; on a zero background also ``exp(z) / sum expm1(z)``, large for small maps."""
    if case.call.function == "fenchel_young_loss":
        return 1.0
    if case.call.function == "sharpen":
        log = case.rows(_logarithms(case)) * _total(case)
        q = np.exp(log - np.max(log, axis=1, keepdims=True, initial=-np.inf))
        x = np.where(case.rows(case.x) > 0, case.rows(case.x), np.inf).astype(float)
        return max(1.0, _total(case) * float(np.max(q / x, initial=0.0))) * _value_scale(case)
    temperature = np.asarray(case.option("temperature", 1.0), dtype=float)
    heat = 1 / min(1.0, float(np.min(temperature, initial=np.inf)))
    if case.option("zero_background"):
        kept = np.where(case.mask & np.isfinite(case.x), case.x, 0.0)
        z = case.rows(kept / temperature)
        low = np.minimum(np.max(z, axis=1, initial=0.0), 1.0)
        heat *= max(1.0, float(np.max(1 / np.where(low > 0, low, 1.0), initial=0.0)))
    return heat


def gradient_scale(case: Case) -> float:
    """What errors of a gradient are relative to, at least: how much weights move, what they and the result are multiplied by."""
    largest = max(1.0, *(float(np.max(np.abs(g), initial=0.0)) for g in cotangents(case.seed, (case.x,))))
    loss = case.call.function == "fenchel_young_loss"
    return largest * (1.0 if loss else span(case)) * _heat(case) * bend(case) * _in_order(case)
