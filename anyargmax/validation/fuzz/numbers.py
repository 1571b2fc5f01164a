"""Hold the numbers of an answer to the oracle, to the exact argmax, to its tangents and to NumPy's error states."""

import warnings

import numpy as np

from ..frameworks import load
from ..invariants import READERS, WEIGHTS
from ..oracle.decimals import exact, rounded
from ..oracle_answers import exactly, jacobian_products
from ..problems import cotangents, draw, tuple_of
from ..tolerance import EPS, TOLERANCE, round_to
from .algebra import has_ties, near, unanswered
from .case import Case
from .kinks import has_median_kink, is_determined, rows, signed
from .registry import FLOATS, WHOLE, prop
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
)
from .scales import gradient_scale, value_scale
from .specification import classes, documented_shapes


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
    _, _, dead, nan = classes(case)
    return case.call.function != "fenchel_young_loss" or not (np.any(np.isinf(case.x)) or np.any(dead) or np.any(nan))


def is_smooth(case: Case, wanted) -> bool:
    """Whether the oracle's differences have a derivative to find: away from every kink, in rows that are finite."""
    x, _, dead, nan = classes(case)
    name = case.call.function
    answered = all(np.all(np.isfinite(part) | (part == -np.inf) & bool(case.option("log"))) for part in wanted)
    if np.any(nan) or np.any(dead) or np.any(np.isinf(x)) or not answered:
        return False
    if case.option("window") is not None and has_ties(case):
        return False
    # Its step of 1e-20 must be little beside a temperature, and be there at all beside a score, in 50 digits.
    temperature = np.asarray(case.temperature)
    if np.any(np.abs(x) > 1e10) or np.any(temperature < 1e-6) or np.any(temperature > 1e6):
        return False
    if case.option("readout") == "median" and has_median_kink(case):
        return False
    if name == "sharpen" or case.option("zero_background"):
        return bool(np.all(x > 0))
    return name in READERS or (rows(case).margin > 1e-3 and is_determined(case, "float32"))


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
    _, _, dead, nan = classes(case)
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
