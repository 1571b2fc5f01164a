"""Sizes that rounding errors of a value and of a gradient are relative to."""

import numpy as np

from ..invariants import READERS, WEIGHTS, derivative_scale
from ..problems import cotangents
from .case import Case
from .kinks import rows


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
    if name in WEIGHTS:
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
    places, readout = derivative_scale(warm), call.options.get("readout")
    moments = name == "soft_argmax_moments" or readout in ("moments", "covariance")
    if name in READERS:  # whose weights sum to anything
        places *= 1 + _whole(case)
        return 4 * places**2 * (1 + _whole(case)) if moments else 2 * places
    # Twice for a median, whose weights are doubled; and for a variance, whose positions are as far from the mean.
    return 4 * places**2 if moments else 2 * places if readout == "median" else places


def _whole(case: Case) -> float:
    """The largest sum of sizes of weights in a row."""
    sizes = np.abs(np.where(np.isfinite(case.x) & case.mask, case.x, 0.0).astype(float))
    return float(np.max(case.rows(sizes).sum(axis=1), initial=0.0))


def steepness(case: Case) -> float:
    """How much more a logarithm moves than its weight, ``p^(1 - alpha)``: the most of all rows."""
    r = rows(case)
    p = np.where((r.p > 0) & (r.alpha > 1), r.p, 1.0)
    return float(np.max(p ** np.minimum(1 - r.alpha, 0.0), initial=1.0))


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
    return span(case) * slope(case) * (steepness(case) if case.option("log") else 1.0)


def _heat(case: Case) -> float:
    """How much a weight moves with a score: 1 / T; on a zero background also ``exp(z) / sum expm1(z)``, large for small maps."""
    if case.call.function == "fenchel_young_loss":
        return 1.0
    if case.call.function == "sharpen":
        log = case.rows(_logarithms(case)) * _total(case)
        q = np.exp(log - np.max(log, axis=1, keepdims=True, initial=-np.inf))
        x = np.where(case.rows(case.x) > 0, case.rows(case.x), np.inf).astype(float)
        return max(1.0, _total(case) * float(np.max(q / x, initial=0.0))) * _value_scale(case)
    temperature = np.asarray(case.temperature, dtype=float)
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
    steep = steepness(case) ** 2 if case.option("log") else 1.0
    return largest * (1.0 if loss else span(case)) * _heat(case) * bend(case) * steep * _in_order(case)
