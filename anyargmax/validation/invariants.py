"""What must hold of the answers to a built-in call, whatever computed them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .problems import Answers, Inputs, cotangents
from .tolerance import COMPUTED_IN, EPS, TOLERANCE

Condition = tuple[str, float, float]  # what must hold, the error in eps, how many are allowed
WEIGHTS = ("soft_one_hot", "soft_top_k", "sharpen", "argmax_probability")
BY_NO_THRESHOLD = ("sharpen", "argmax_probability")
READERS = ("expectation", "spatial_expectation")  # of weights that are given, of any sign and sum
CHOICES = ("sample_one_hot", "sample_top_k", "perturbed")  # with a gradient that is not their value's
MAPS = ("spatial_soft_argmax", "spatial_expectation")


def axes_of(call: Any, ndim: int) -> tuple[int, ...]:
    """The axes that the weights of a call sum to 1 over, not negative, in the order given."""
    flattening = ("soft_argmax", "soft_argmin", "soft_argmax_moments", "expectation")
    default = None if call.function in flattening else -1
    axes = call.options.get("axes", (-2, -1)) if call.function in MAPS else call.options.get("axis", default)
    axes = tuple(range(ndim)) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    return tuple(axis % ndim for axis in axes)


def _rows(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """One row for each set of entries that the weights sum to 1 over."""
    others = [axis for axis in range(x.ndim) if axis not in axes]
    count = int(np.prod([x.shape[axis] for axis in axes]))
    return np.transpose(x, others + list(axes)).reshape((-1, count))


def rows_of(call: Any, x: np.ndarray) -> np.ndarray:
    """One row for each set of entries that the weights sum to 1 over."""
    return _rows(x, axes_of(call, x.ndim))


def derivative_scale(call: Any) -> float:
    """The size that derivatives of a call may have, which their rounding errors are relative to: positions over T."""
    name = "scale" if call.function == "argmax_probability" else "temperature"
    temperature = float(np.min(_option(call, name, 1.0), initial=1.0))
    if call.function == "perturbed":
        return float(np.max(np.abs(np.expm1(-call.arrays["noise"])))) / float(np.min(_option(call, "scale", 1.0)))
    if call.function in (*WEIGHTS, *CHOICES, "fenchel_young_loss", "conditional_gumbel"):
        return 1 / temperature
    n = max(call.shape) if call.options.get("axis") is not None or call.function in MAPS else 0
    places = call.arrays.get("positions", np.asarray([float((n or int(np.prod(call.shape))) - 1)]))
    index = call.options.get("coordinates", "index") == "index"
    return max(1.0, float(np.max(np.abs(places), initial=0.0))) / temperature if index else 1 / temperature


def _option(call: Any, name: str, default: Any) -> Any:
    """An option, array or number."""
    return call.arrays.get(name, call.options.get(name, default))


def _spread(call: Any, name: str, default: Any, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """An option, array or number, entry by entry."""
    value = np.asarray(_option(call, name, default))
    return _rows(np.broadcast_to(value, x.shape), axes)


def _bounds_of_sigmoid(p, z):
    exact = np.where((p > 1e-3) & (p < 1 - 1e-3), z - np.log(p) + np.log1p(-p), np.nan)
    return exact, exact


def _bounds_of_capped(p, z):
    return np.where(p < 1, z - p, np.nan), np.where(p > 0, z - p, np.nan)


# Bounds that weights and scores put on the threshold of weights that share a sum of k.
BOUNDS = {"capped": _bounds_of_capped, "sigmoid": _bounds_of_sigmoid}
WITHOUT_THRESHOLD = ("subset",)  # kinds whose weights are no function of a score and a threshold


def _threshold_bounds(call: Any, p: np.ndarray, z: np.ndarray, alpha: np.ndarray):
    """Bounds that each weight puts on the threshold of its row: ``p = phi(z - tau)`` solved for tau."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if call.function == "soft_top_k":
            return BOUNDS[call.options.get("kind", "capped")](p, z)
        a = alpha - 1
        log = np.log(p)
        exact = z - np.where(a == 0, log, np.expm1(a * log) / np.where(a == 0, 1, a))
        exact = np.where((a < 1e-5) & (p < 1e-30), np.nan, exact)
        return exact, np.where(p > 0, exact, np.nan)


def _optimality(call: Any, p: np.ndarray, x: np.ndarray, axes: tuple[int, ...], eps: float) -> Condition:
    """One threshold explains a whole row, its zeros included: ``p = argmax <z, p> + H(p)``, and its support."""
    temperature, alpha = (_spread(call, name, 1.0, x, axes) for name in ("temperature", "alpha"))
    keep = _spread(call, "mask", True, x, axes)
    z = _rows(x, axes) / temperature
    low, high = (np.where(keep, bound, np.nan) for bound in _threshold_bounds(call, p, z, alpha))
    lower = np.max(np.where(np.isnan(low), -np.inf, low), axis=1)
    upper = np.min(np.where(np.isnan(high), np.inf, high), axis=1)
    a = alpha[:, 0] - 1
    scale = 1 + np.max(np.abs(z), axis=1) + np.where(a == 0, 0, 1 / np.maximum(a, 0.05))
    live = keep.sum(axis=1) > call.options.get("k", 0)
    error = np.where(live, (lower - upper) / (eps * scale), 0.0)
    return "weights satisfy the optimality conditions", float(np.max(error, initial=0.0)), TOLERANCE["derivative"]


def _of_weights(call: Any, given: Inputs, p: np.ndarray, stored: str) -> Iterator[Condition]:
    x = given.arrays[0]
    axes = axes_of(call, x.ndim)
    p, eps = _rows(p, axes), EPS[stored]
    keep = _spread(call, "mask", True, x, axes)
    total = np.minimum(call.options.get("k", 1), keep.sum(axis=1))
    yield "weights are not negative", float(np.max(-p, initial=0.0)) / eps, 0
    yield "weights of masked scores are 0", float(np.max(np.abs(p[~keep]), initial=0.0)) / eps, 0
    error = np.abs(p.sum(axis=1) - total) / (eps * np.maximum(total, 1))
    yield "weights sum to what they must", float(np.max(error, initial=0.0)), TOLERANCE["value"]
    explained = call.function not in BY_NO_THRESHOLD and call.options.get("kind") not in WITHOUT_THRESHOLD
    if explained and given.dtype in ("float32", "float64"):
        yield _optimality(call, p, x, axes, eps)


def _of_positions(call: Any, given: Inputs, value: np.ndarray, eps: float) -> Iterator[Condition]:
    x = given.arrays[0]
    kind = call.options.get("coordinates", "index")
    lengths = [x.shape[axis] for axis in axes_of(call, x.ndim)]
    last = [n - 1 for n in lengths] if call.function in MAPS else [int(np.prod(lengths)) - 1]
    positions = call.arrays.get("positions", np.asarray([0.0, float(max(last))]))
    low, high = (float(np.min(positions)), float(np.max(positions))) if kind == "index" else (-1.0, 1.0)
    error = max(float(np.nanmax(low - value)), float(np.nanmax(value - high)), 0.0)
    yield "positions lie among those of the entries", error / (eps * max(abs(low), abs(high), 1)), TOLERANCE["value"]


def invariants(call: Any, given: Inputs, answers: Answers) -> list[Condition]:
    """Return every condition that the answers to a call must satisfy."""
    stored = answers.stored[0]
    found: list[Condition] = []
    if call.function in (*CHOICES, "conditional_gumbel"):
        return _of_choices(call, given, answers)
    if call.function in READERS:
        return _of_given(call, given, answers)
    if call.options.get("log"):
        found += _of_logarithms(answers.value[0], stored)
    elif call.function in WEIGHTS:
        found += _of_weights(call, given, answers.value[0], stored)
    elif call.function == "fenchel_young_loss":
        least = float(np.min(answers.value[0]))
        scale = EPS[stored] * max(1.0, float(np.max(np.abs(given.arrays[0]))))
        found.append(("losses are not negative", max(0.0, -least) / scale, TOLERANCE["value"]))
    else:
        found += _of_positions(call, given, answers.value[0], EPS[stored])
    if len(answers.value) == 2:
        found.append(_of_seconds(call, answers.value[1], EPS[stored]))
    if answers.gradient is not None and call.function != "sharpen" and not call.options.get("zero_background"):
        found.append(_shift_invariance(call, given, answers.gradient[0]))
    return found


def _of_seconds(call: Any, seconds: np.ndarray, eps: float) -> Condition:
    """Of weights that are not negative, variances are not, and a covariance matrix has no negative eigenvalue."""
    if call.options.get("readout") != "covariance":
        return "variances are not negative", float(np.max(-seconds, initial=0.0)) / eps, 0
    matrices = seconds[np.isfinite(seconds).all(axis=(-2, -1))]
    low = -np.linalg.eigvalsh(matrices).min(axis=-1) / (eps * np.maximum(np.abs(matrices).max(axis=(-2, -1)), 1))
    return "covariances are positive semidefinite", float(np.max(low, initial=0.0)), TOLERANCE["value"]


def _of_logarithms(log: np.ndarray, stored: str) -> list[Condition]:
    return [
        ("logarithms of weights are not positive", float(np.max(log, initial=0.0)) / EPS[stored], TOLERANCE["value"])
    ]


def _of_given(call: Any, given: Inputs, answers: Answers) -> list[Condition]:
    """A mean is linear in the weights; a covariance matrix is symmetric; whatever is masked has no gradient."""
    found: list[Condition] = []
    eps, p, value = EPS[answers.stored[0]], given.arrays[0], answers.value
    keep = np.broadcast_to(call.arrays.get("mask", np.asarray(True)), p.shape)
    if call.options.get("readout") == "covariance":
        skew = np.abs(value[1] - np.swapaxes(value[1], -1, -2))
        found.append(("covariances are symmetric", float(np.nanmax(skew, initial=0.0)) / eps, 0))
    if answers.gradient is not None:
        gradient = answers.gradient[0]
        found.append(("masked weights have no gradient", float(np.max(np.abs(gradient[~keep]), initial=0.0)), 0))
        if call.options.get("readout", "mean") == "mean" and answers.pulled is not None:
            g = cotangents(given.seed, value)[0]
            gap = abs(float(np.sum(gradient * p)) - float(np.nansum(g * value[0])))
            scale = max(1.0, float(np.sum(np.abs(gradient * p))))
            found.append(("a mean is linear in the weights", gap / (EPS[given.dtype] * scale), TOLERANCE["derivative"]))
    return found


def _of_choices(call: Any, given: Inputs, answers: Answers) -> list[Condition]:
    """Choices are of ones and zeros, never masked; noise given a choice chooses it; a shift of all scores changes nothing."""
    x, value = given.arrays[0], answers.value[0]
    axis = axes_of(call, x.ndim)[0] - x.ndim
    keep = np.broadcast_to(call.arrays.get("mask", np.asarray(True)), value.shape)
    found: list[Condition] = []
    if call.function in ("sample_one_hot", "sample_top_k"):
        count = np.minimum(keep.sum(axis=axis), call.options.get("k", 1))
        wrong = [np.any((value != 0) & (value != 1)), np.any(value[~keep]), np.any(value.sum(axis=axis) != count)]
        found.append(("as many kept entries are chosen as must", float(sum(wrong)), 0))
    if call.function == "conditional_gumbel":
        found.append(("the noise chooses what it is given", _missed(call, x, value, keep, axis), 0))
    if answers.gradient is not None and call.function != "perturbed":
        found.append(_shift_invariance(call, given, answers.gradient[0]))
    return found


def _missed(call: Any, x: np.ndarray, noise: np.ndarray, keep: np.ndarray, axis: int) -> float:
    """How many rows choose another entry than the noise was conditioned on."""
    chosen = call.arrays["chosen"]
    chosen = chosen if chosen.dtype.kind in "iu" else np.argmax(chosen, axis=axis)
    return float(np.sum(np.argmax(np.where(keep, x + noise, -np.inf), axis=axis) != chosen))


def _shift_invariance(call: Any, given: Inputs, gradient: np.ndarray) -> Condition:
    """A constant added to all scores of a row changes nothing, so that its gradient sums to 0."""
    rows = _rows(gradient, axes_of(call, gradient.ndim))
    eps = max(EPS[given.dtype], EPS[COMPUTED_IN[given.dtype]])
    scale = np.maximum(derivative_scale(call), np.abs(rows).sum(axis=1))
    error = float(np.max(np.abs(rows.sum(axis=1)) / (eps * scale), initial=0.0))
    return "the gradient of a row sums to 0", error, TOLERANCE["derivative"]
