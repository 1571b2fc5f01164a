"""Hold an answer to its documentation: its shape and dtype, and what is said of weights and positions."""

import numpy as np

from ..invariants import MAPS, READERS, WEIGHTS
from ..problems import tuple_of
from ..tolerance import EPS, TOLERANCE, dtype_name
from .case import Case
from .kinks import signed
from .registry import FLOATS, WHOLE, prop
from .running import computed_in, first, is_floating, outcome, prepared, scope, text_of


def documented_shapes(case: Case) -> list[tuple[int, ...]]:
    """The shape of each part of the answer."""
    name, x = case.call.function, case.x
    if name in WEIGHTS:
        return [x.shape]
    rest = tuple(n for k, n in enumerate(x.shape) if k not in case.axes)
    d, readout = len(case.axes), case.option("readout")
    if name in MAPS:
        seconds = {"moments": [(*rest, d)], "covariance": [(*rest, d, d)]}
        return [(*rest, d), *seconds.get(readout, [])]
    one = case.scene.reduced if case.option("keepdims") else rest
    return [one] * (2 if name == "soft_argmax_moments" or readout == "moments" else 1)


@prop("dtype and shape are as documented", dtypes=(*FLOATS, *WHOLE), longest=5000)
def form(case: Case) -> None:
    backend = first(case)
    with scope(case, backend):
        f, x = prepared(case, backend)
        y = f(x)
        kinds = {type(part).__name__ for part in tuple_of(y)}
    assert kinds == {type(x).__name__}, f"class: expected {type(x).__name__}, got {', '.join(sorted(kinds))}"
    default = computed_in(case, backend)
    weights = case.call.function in WEIGHTS and is_floating(case)
    dtype = case.dtype if weights else default if is_floating(case) else wide(backend)
    for part, shape in zip(tuple_of(y), documented_shapes(case), strict=True):
        assert tuple(part.shape) == shape, f"expected shape {shape}, got {tuple(part.shape)}"
        assert dtype_name(part) == dtype, f"expected dtype {dtype}, got {dtype_name(part)}"
    if is_floating(case):
        found = outcome(case, backend)
        assert found.gradient[0].shape == case.x.shape, (
            f"gradient: expected shape {case.x.shape}, got {found.gradient[0].shape}"
        )
        assert found.gradient_stored == (case.dtype,), (
            f"gradient: expected dtype {case.dtype}, got {found.gradient_stored[0]}"
        )


def wide(backend) -> str:
    """What integers are computed in, in the scope of a call."""
    return "float64" if backend.name == "jax" else backend.default_float


@prop("weights and positions are what is documented of their rows", dtypes=(*FLOATS, *WHOLE), longest=40000)
def documented(case: Case) -> None:
    backend = first(case)
    found = outcome(case, backend, derivative=False)
    eps = EPS[computed_in(case, backend)] + EPS.get(found.stored[0], 0.0)
    if case.call.function in WEIGHTS:
        _weights(case, found.value[0], eps)
    elif case.call.function != "fenchel_young_loss":
        _positions(case, found.value, eps)


def classes(case: Case):
    """Which scores are alive, and which rows have none, or a NaN."""
    x, keep = case.rows(signed(case)), case.rows(case.mask)
    least = 0 if case.call.function in (*READERS, "sharpen") else -np.inf
    alive = keep & (x != least)
    return x, alive, ~alive.any(axis=1), (np.isnan(x) & alive).any(axis=1)


def _weights(case: Case, p: np.ndarray, eps: float) -> None:
    x, alive, dead, nan = classes(case)
    shown, p = text_of(p), case.rows(p)
    if case.option("log"):
        # An error of a logarithm is one of its weight times the logarithm: the entropy of the row, in all.
        entropy = -np.sum(np.exp(p) * np.where(np.isfinite(p), p, 0.0), axis=1)
        p, eps = np.exp(p), eps * (1 + float(np.max(entropy, initial=0.0)))
    usual = ~nan & ~((x == np.inf).any(axis=1) & (case.call.function == "sharpen"))
    assert np.all(np.isnan(p[nan[:, None] & alive])), f"a row with a kept NaN: expected NaN, got {shown}"
    assert np.all(p[dead] == 0), f"a row without a kept score: expected weights 0, got {shown}"
    assert np.all(p[usual] >= 0), f"weights: expected at least 0, got {shown}"
    assert np.all(p[usual][~alive[usual]] == 0), f"weights of scores that are not kept: expected 0, got {shown}"
    total = np.minimum(case.option("k", 1), alive.sum(axis=1))[usual]
    error = np.abs(p[usual].sum(axis=1) - total) / (eps * np.maximum(total, 1))
    # Each weight is rounded once: half an eps of each, which add up to half an eps of their sum.
    worst = float(np.max(error, initial=0.0))
    assert worst <= TOLERANCE["value"], f"sums: expected {text_of(total)}, off by {worst:.3g} eps, weights {shown}"
    if case.call.function == "soft_one_hot" and not case.option("hard"):
        peaks = alive & (x == np.inf)
        share = peaks / np.maximum(peaks.sum(axis=1, keepdims=True), 1)
        rows = peaks.any(axis=1) & ~nan
        assert np.allclose(p[rows], share[rows], rtol=2 * eps, atol=0), (
            f"a row with +inf: expected even weights, got {shown}"
        )


def _positions(case: Case, value, eps: float) -> None:
    _, _, dead, nan = classes(case)
    shown, count = text_of(value[0]), value[0].size // max(len(dead), 1)
    c = value[0].reshape((len(dead), count)) if value[0].size else value[0].reshape((len(dead), 0))
    if count:
        assert np.all(np.isnan(c[dead | nan])), f"rows without an answer: expected NaN, got {shown}"
    if case.option("zero_background") or case.call.function in READERS:
        return  # NaN where a score is infinite; weights of any sign and sum stand for any position
    live = c[~dead & ~nan]
    assert not np.any(np.isnan(live)), f"rows with an answer: expected numbers, got {shown}"
    lengths = [case.x.shape[k] for k in case.axes] or [1]
    last = max(lengths) if case.call.function in MAPS else int(np.prod(lengths))
    kind, places = case.option("coordinates", "index"), case.option("positions", np.asarray([0.0, last - 1.0]))
    low, high = (np.min(places), np.max(places)) if kind == "index" else (-1.0, 1.0)
    slack = TOLERANCE["value"] * eps * max(1.0, abs(low), abs(high))
    assert np.all((live >= low - slack) & (live <= high + slack)), (
        f"positions: expected from {low} to {high}, got {shown}"
    )
    if len(value) == 2:
        seconds = value[1]
        if case.option("readout") == "covariance":
            assert np.array_equal(seconds, np.swapaxes(seconds, -1, -2), equal_nan=True), "covariances: not symmetric"
            seconds = np.diagonal(seconds, axis1=-2, axis2=-1)
        variance = seconds[~np.isnan(seconds)]
        assert np.all(variance >= 0), f"variances: expected at least 0, got {text_of(value[1])}"
