"""What must hold of the answer to one call: its shape and dtype, what is documented of its rows, the oracle's numbers."""

import warnings

import numpy as np

from ..catalogue import exactly, jacobian_products
from ..frameworks import load
from ..oracle.decimals import exact, rounded
from ..problems import cotangents, draw, tuple_of
from ..tolerance import EPS, TOLERANCE, dtype_name, round_to
from .algebra import has_ties, near, unanswered
from .case import Case
from .conditions import gradient_scale, has_median_kink, is_determined, rows, signed, value_scale
from .registry import FLOATS, WEIGHTS, WHOLE, prop
from .running import (
    Closeness,
    assert_near,
    assert_same,
    computed_in,
    first,
    in_numpy,
    is_floating,
    like,
    outcome,
    prepared,
    pulled,
    scope,
    tangent,
    text_of,
)


def documented_shapes(case: Case) -> list[tuple[int, ...]]:
    """The shape of each part of the answer."""
    name, x = case.call.function, case.x
    if name in WEIGHTS:
        return [x.shape]
    rest = tuple(n for k, n in enumerate(x.shape) if k not in case.axes)
    if name == "spatial_soft_argmax":
        return [(*rest, len(case.axes))] * (2 if case.option("readout") == "moments" else 1)
    one = case.scene.reduced if case.option("keepdims") else rest
    return [one] * (2 if name == "soft_argmax_moments" else 1)


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


def _classes(case: Case):
    """Which scores are alive, and which rows have none, or a NaN."""
    x, keep = case.rows(signed(case)), case.rows(case.mask)
    with np.errstate(invalid="ignore"):
        alive = keep & (x != -np.inf) & ((x != 0) | (case.call.function != "sharpen"))
    return x, alive, ~alive.any(axis=1), (np.isnan(x) & alive).any(axis=1)


def _weights(case: Case, p: np.ndarray, eps: float) -> None:
    x, alive, dead, nan = _classes(case)
    shown, p = text_of(p), case.rows(p)
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
    _, _, dead, nan = _classes(case)
    shown, count = text_of(value[0]), value[0].size // max(len(dead), 1)
    c = value[0].reshape((len(dead), count)) if value[0].size else value[0].reshape((len(dead), 0))
    if count:
        assert np.all(np.isnan(c[dead | nan])), f"rows without an answer: expected NaN, got {shown}"
    if case.option("zero_background"):
        return  # NaN where a score is infinite
    live = c[~dead & ~nan]
    assert not np.any(np.isnan(live)), f"rows with an answer: expected numbers, got {shown}"
    lengths = [case.x.shape[k] for k in case.axes] or [1]
    last = max(lengths) if case.call.function == "spatial_soft_argmax" else int(np.prod(lengths))
    kind, places = case.option("coordinates", "index"), case.option("positions", np.asarray([0.0, last - 1.0]))
    low, high = (np.min(places), np.max(places)) if kind == "index" else (-1.0, 1.0)
    slack = TOLERANCE["value"] * eps * max(1.0, abs(low), abs(high))
    assert np.all((live >= low - slack) & (live <= high + slack)), (
        f"positions: expected from {low} to {high}, got {shown}"
    )
    if len(value) == 2:
        variance = value[1][~np.isnan(value[1])]
        assert np.all(variance >= 0), f"variances: expected at least 0, got {text_of(value[1])}"


@prop("the oracle's value and gradient, in 50 digits", share=2.0, dtypes=("float64", "float32"), entries=8)
def oracle(case: Case) -> None:
    backend = first(case)
    soft = case.with_options(hard=None)
    defined = _defined(case)
    dtype = computed_in(case, backend)
    found = outcome(case, backend)
    wanted = tuple(map(rounded, tuple_of(exactly(soft.call, exact(case.x)))))
    soft_value = outcome(soft, backend).value if case.option("hard") else found.value
    if defined:
        by = Closeness(dtype, found.stored, "value", value_scale(case))
        assert_near(soft_value, wanted, "value by the oracle", by)
    if not defined or not is_smooth(case, wanted) or not is_floating(case):
        return
    gs = tuple(map(exact, cotangents(case.seed, wanted)))
    t = exact(draw(case.seed, "tangents", (case.x,))[0])
    gradient, _ = jacobian_products(soft.call, exact(case.x), gs, t)
    by = Closeness(dtype, found.gradient_stored, "derivative", gradient_scale(case))
    assert_near(found.gradient, (gradient,), "gradient by the oracle", by)


def _defined(case: Case) -> bool:
    """Whether the answer is documented: that of a loss of infinite scores, or of a row without any, is not by the oracle."""
    _, _, dead, nan = _classes(case)
    return case.call.function != "fenchel_young_loss" or not (np.any(np.isinf(case.x)) or np.any(dead) or np.any(nan))


def is_smooth(case: Case, wanted) -> bool:
    """Whether the oracle's differences have a derivative to find: away from every kink, in rows that are finite."""
    x, _, dead, nan = _classes(case)
    name = case.call.function
    if np.any(nan) or np.any(dead) or np.any(np.isinf(x)) or not all(np.all(np.isfinite(part)) for part in wanted):
        return False
    if case.option("window") is not None and has_ties(case):
        return False
    # Its step of 1e-20 must be little beside a temperature, and be there at all beside a score, in 50 digits.
    temperature = np.asarray(case.option("temperature", 1.0))
    if np.any(np.abs(x) > 1e10) or np.any(temperature < 1e-6) or np.any(temperature > 1e6):
        return False
    if case.option("readout") == "median" and has_median_kink(case):
        return False
    if name == "sharpen" or case.option("zero_background"):
        return bool(np.all(x > 0))
    return rows(case).margin > 1e-3 and is_determined(case, "float32")


@prop(
    "the hard choice is exactly the argmax",
    functions=("soft_argmax", "soft_argmin", "soft_one_hot", "soft_top_k"),
    dtypes=(*FLOATS, *WHOLE),
    longest=5000,
    fixed={"hard": True},
)
def hard(case: Case) -> None:
    """Of equal scores the first. Its gradient is that of the soft answer."""
    backend, wanted = first(case), choice(case)
    found = outcome(case, backend)
    if wanted is not None:
        stored = found.stored[0]
        wanted = tuple(round_to(part, stored) if stored in EPS else part for part in wanted)
        assert_same(found.value, wanted, "value of the hard choice")
    soft = outcome(case.with_options(hard=None), backend)
    near(case, found._replace(value=soft.value), soft, "of the hard choice")


def choice(case: Case):
    """The hard answer: 1 at the first largest kept score, or its position; None where a row has none, or a NaN."""
    _, _, dead, nan = _classes(case)
    if np.any(dead) or np.any(nan):
        return None
    name, count = case.call.function, case.option("k", 1)
    ranked = case.rows(np.where(case.mask, signed(case), -np.inf))
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :count]
    if name in WEIGHTS:
        chosen = np.zeros(ranked.shape)
        np.put_along_axis(chosen, order, 1.0, axis=1)
        chosen *= ranked != -np.inf
        axes = case.axes
        others = tuple(k for k in range(case.x.ndim) if k not in axes)
        shape = tuple(case.x.shape[k] for k in others + axes)
        return (np.transpose(chosen.reshape(shape), np.argsort(others + axes)),)
    if name not in ("soft_argmax", "soft_argmin"):
        return None
    places = np.asarray(case.option("positions", np.arange(float(case.scene.length))))
    whole = case.x.ndim != 1 and len(case.axes) != 1
    if places.ndim == 1 and places.size == case.scene.length:
        laid = np.broadcast_to(places, ranked.shape)
    else:
        laid = places.reshape(ranked.shape) if whole else case.rows(places)
    return (np.take_along_axis(laid, order, axis=1).reshape(documented_shapes(case)[0]),)


@prop("the adjoint identity <g, J t> = <J^T g, t>", longest=5000)
def adjoint(case: Case) -> None:
    backend = first(case)
    dtype = computed_in(case, backend)
    with scope(case, backend):
        f, x = prepared(case, backend)
        t = tangent(case, backend)
        found = pulled(case, backend, f, x)
        y, dy = backend.jvp(f, (x,), (t,))
        g, pushed = (in_numpy(backend, part) for part in (like(case, backend, y), dy))
    by = Closeness(dtype, found.stored, "value", value_scale(case))
    assert_near(in_numpy(backend, y), found.value, "value that comes with a tangent", by)
    if not is_determined(case, dtype) or has_median_kink(case):
        return
    (t,) = in_numpy(backend, t)
    left = [np.where(np.isfinite(v), a * b, 0.0) for v, a, b in zip(found.value, g, pushed, strict=True)]
    broken = unanswered(case, found)
    if case.call.function in WEIGHTS:
        left = [np.where(broken[:, None], 0.0, case.rows(part)) for part in left]
    with np.errstate(all="ignore"):  # of products that are not looked at
        right = np.where(broken[:, None], 0.0, case.rows(found.gradient[0] * t))
    scale = max(gradient_scale(case), *(float(np.nansum(np.abs(part))) for part in (*left, right)))
    sums = [float(sum(np.nansum(part) for part in side)) for side in (left, [right])]
    # Half precision rounds the gradient and the tangent once more.
    eps = max(EPS[dtype], EPS[case.dtype])
    if not np.isfinite(scale):
        return
    error = abs(sums[0] - sums[1]) / (eps * scale)
    assert error <= TOLERANCE["derivative"], (
        f"<J^T g, t>: expected {sums[0]:.9g} as <g, J t>, got {sums[1]:.9g}, {error:.3g} eps off"
    )


@prop(
    "no warning leaks, and NumPy's error state changes nothing",
    frameworks=("numpy", "autograd"),
    dtypes=(*FLOATS, *WHOLE),
    longest=5000,
)
def silent(case: Case) -> None:
    backend = load(case.frameworks[0])
    want = outcome(case, backend)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        with scope(case, backend):
            f, x = prepared(case, backend)
            made = [backend.vjp(f, x)] if is_floating(case) else [(f(x), None)]
            y, pullback = made[0]
            g = like(case, backend, y)
            gradients = pullback(g) if pullback else ()
    assert_same(in_numpy(backend, y), want.value, "value under errstate(all='raise')")
    assert_same(in_numpy(backend, gradients), want.gradient, "gradient under errstate(all='raise')")


prop(
    "the oracle's median",
    share=0.5,
    functions=("soft_argmax", "soft_argmin", "spatial_soft_argmax"),
    dtypes=("float64", "float32"),
    kinds=("spread", "grid"),
    entries=8,
    fixed={"readout": "median", "hard": False, "zero_background": False},
)(oracle)
