"""The exact probability that each score is the largest under noise, and the logarithm of the Normal distribution under it."""

import math
from functools import lru_cache, partial

import mpmath
import numpy as np
import pytest
from conftest import MISSING, NAMES, PRESENT, backend_parameters
from pullbacks import direction_of, pulled, pulled_twice

from anyargmax import soft_one_hot
from anyargmax._frameworks.registry import select
from anyargmax._rules import normal
from anyargmax.sampling import argmax_probability
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.tolerance import EPS, assert_close, dtype_name

INF, NAN = np.inf, np.nan
learning = pytest.mark.parametrize(
    "backend", backend_parameters(("autograd", "torch", "torch-func", "jax", "tensorflow"))
)
in_each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
EAGER = tuple(name for name in NAMES if name != "dask")  # whose warnings come when it computes
X = np.asarray([[0.5, -0.25, 1.0], [2.0, 1.75, -1.0]])
SCALES = np.asarray([[1.0, 2.0, 0.75], [0.5, 1.0, 1.5]])
POINTS = np.concatenate(
    [np.linspace(-9, 12, 150), np.linspace(12, 36, 40), -np.geomspace(9, 1e3, 40), np.geomspace(1e-30, 1, 20), [0.0]]
)


def ndtr(u):
    return np.vectorize(lambda u: math.erfc(-u / math.sqrt(2)) / 2)(u)


def density(u):
    return np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)


@lru_cache(maxsize=2)
def exact_logarithms(dtype):
    """Points in a dtype, ``log Phi`` of them in mpmath, and its derivative, ``phi / Phi``, times Phi."""
    normal_in = 12.5 if dtype == "float32" else 40  # where the logarithm is no subnormal number
    points = POINTS[normal_in > POINTS].astype(dtype)
    with mpmath.workdps(40):
        u = [mpmath.mpf(float(value)) for value in points]
        logs = [mpmath.log1p(-mpmath.ncdf(-v)) if v > 0 else mpmath.log(mpmath.ncdf(v)) for v in u]
        return points.astype("float64"), np.asarray(list(map(float, logs))), density(points.astype("float64"))


class TestLogNdtr:
    @in_each_dtype
    def test_is_right_in_both_tails_relative_to_itself(self, anyargmax_backend, dtype):
        points, logs, _ = exact_logarithms(dtype)
        u = anyargmax_backend.asarray(points, dtype)
        y = anyargmax_backend.to_numpy(select([u]).log_ndtr(u))
        assert np.max(np.abs(y / logs - 1)) < 16 * EPS[dtype]

    @pytest.mark.parametrize("backend", backend_parameters(EAGER))
    def test_of_infinities_is_their_limit_and_of_nan_is_nan(self, backend):
        u = backend.asarray(np.asarray([-INF, INF, NAN, -1e200, 1e200]))
        y = backend.to_numpy(select([u]).log_ndtr(u))
        np.testing.assert_array_equal(y, np.asarray([-INF, 0, NAN, -INF, 0]))

    @learning
    def test_has_derivatives_of_both_orders(self, backend):
        """The first is ``h = phi / Phi``, here times Phi, and the second ``-h (u + h)``."""
        points, logs, densities = exact_logarithms("float64")
        near = (points > -9) & (points < 9)
        u, share = points[near], np.exp(logs[near])
        f = lambda u: select([u]).log_ndtr(u)  # noqa: E731
        (values, (gradient,)), h = pulled(backend, f, backend.asarray(u)), densities[near] / share
        assert_close(values[0], logs[near], "float64", "value")
        g, t = direction_of(u)[0], np.sin(np.arange(len(u)))
        assert_close(share * gradient, share * g * h, "float64", "derivative")
        assert_close(share * pulled_twice(backend, f, u), -share * g * t * h * (u + h), "float64", "derivative")

    @pytest.mark.parametrize(("name", "allowed"), [("LONG", 1e-16), ("SHORT", 1e-8)])
    def test_the_coefficients_are_those_of_the_scaled_complementary_error_function(self, name, allowed):
        with mpmath.workdps(40):
            for y in mpmath.linspace(-1, mpmath.mpf("0.97"), 60):
                t = normal.CENTER * (1 + y) / (1 - y)
                wanted = (1 + 2 * t) * mpmath.exp(t * t) * mpmath.erfc(t)
                assert abs(mpmath.polyval(getattr(normal, name)[::-1], y) - wanted) < allowed
            at_infinity = mpmath.polyval(getattr(normal, name)[::-1], 1)
            assert abs(at_infinity - 2 / mpmath.sqrt(mpmath.pi)) < allowed


def of_two(x, s):
    """The probability of the first of two, its gradients, and its second derivative by the first score."""
    gap, width = x[0] - x[1], np.hypot(*s)
    u = gap / width
    slope = density(u) / width
    by_scales = -density(u) * gap * np.asarray(s) / width**3
    return ndtr(u), np.asarray([slope, -slope]), by_scales, -u * slope / width


def by_pieces(x, s, ends=None):
    """Probabilities by Gauss's quadrature on pieces round each score, in logarithms of SciPy: shares nothing with the rule."""
    special = pytest.importorskip("scipy.special")
    if ends is None:
        ends = np.unique(np.concatenate([x + reach * s for reach in (-10, -4, -1.5, 0, 1.5, 4, 10)]))
        ends = ends[ends >= np.max(x - 10 * s)]
    places, shares = np.polynomial.legendre.leggauss(40)
    half = np.diff(ends)[:, None] / 2
    m = (ends[:-1, None] + half * (1 + places)).reshape(-1, 1)
    u = (m - x) / s
    logs = special.log_ndtr(u)
    others = logs.sum(axis=1, keepdims=True) - logs
    return (half * shares).reshape(-1) @ (density(u) / s * np.exp(others))


@in_each_dtype
def test_the_probabilities_of_two_are_those_of_their_difference(anyargmax_backend, dtype):
    """Scales in a ratio below 1e4 are served in every framework; beyond that they must be looked at."""
    x, s = np.asarray([50.0, 25.0]), np.asarray([1.0, 9e3])
    x, s = (values.astype(dtype).astype("float64") for values in (x, s))
    put = partial(anyargmax_backend.asarray, dtype=dtype)
    p, slopes, _, _ = of_two(x, s)
    values, (gradient,) = pulled(anyargmax_backend, partial(argmax_probability, scale=put(s)), put(x))
    assert_close(values[0], [p, 1 - p], dtype, "value")
    g = direction_of(x)[0]
    assert_close(gradient, (g[0] - g[1]) * slopes, dtype, "derivative")


@learning
def test_second_derivatives_of_two_are_those_of_their_difference(backend):
    x, s = np.asarray([50.0, 25.0]), np.asarray([1.0, 9e3])
    g, t = direction_of(x)[0], np.sin(np.arange(2))
    curve = (g[0] - g[1]) * (t[0] - t[1]) * of_two(x, s)[3]
    found = pulled_twice(backend, partial(argmax_probability, scale=backend.asarray(s)), x)
    assert_close(found, np.asarray([curve, -curve]), "float64", "derivative")


@learning
def test_scales_of_two_have_their_gradient(backend):
    x, s = np.asarray([50.0, 25.0]), np.asarray([1.0, 9e3])
    f = lambda x, s: argmax_probability(x, scale=s)  # noqa: E731
    _, gradients = pulled(backend, f, backend.asarray(x), backend.asarray(s))
    g = direction_of(x)[0]
    assert_close(gradients[1], (g[0] - g[1]) * of_two(x, s)[2], "float64", "derivative")


@learning
def test_scales_have_the_oracles_derivatives_both_ways(backend):
    x, s, t = X, SCALES, np.cos(np.arange(6)).reshape(2, 3)
    f = lambda s: oracle.argmax_probability(decimals.exact(x), scale=s)  # noqa: E731
    exact = decimals.exact(s)
    slopes = [
        decimals.rounded(decimals.derivative(f, exact, decimals.exact(unit))) for unit in np.eye(6).reshape(6, 2, 3)
    ]
    g = direction_of(x)[0]
    of_scale = lambda s: argmax_probability(backend.asarray(x), scale=s)  # noqa: E731
    _, (gradient,) = pulled(backend, of_scale, backend.asarray(s))
    assert_close(gradient, np.asarray([(slope * g).sum() for slope in slopes]).reshape(2, 3), "float64", "derivative")
    _, tangent = backend.jvp(of_scale, (backend.asarray(s),), (backend.asarray(t),))
    wanted = sum(slope * part for slope, part in zip(slopes, t.reshape(-1), strict=True))
    assert_close(backend.to_numpy(tangent), wanted, "float64", "derivative")


RATIOS = [(n, ratio) for n in (3, 5, 40) for ratio in (1.0, 10.0, 1e3, 1e6)]
INTEGRALS = [("numpy", *pair) for pair in RATIOS] + [("jax", 5, 1e6)]  # which compiles each


@pytest.mark.parametrize(
    ("name", "n", "ratio"),
    INTEGRALS,
    ids=[f"{name} of {n} scores, scales in a ratio of {r:g}" for name, n, r in INTEGRALS],
)
def test_the_probabilities_are_the_integrals(name, n, ratio):
    backend = PRESENT.get(name) or pytest.skip(MISSING[name])
    rng = np.random.default_rng([n, int(ratio)])
    s = ratio ** rng.random(n)
    s[:2] = 1.0, ratio
    x = rng.normal(size=n) * (s if ratio < 100 else 3.0)
    p = argmax_probability(backend.asarray(x), scale=backend.asarray(s))
    assert_close(backend.to_numpy(p), by_pieces(x, s), "float64", "value")


@in_each_dtype
def test_the_probabilities_of_a_thousand_are_the_integrals(dtype):
    x = np.random.default_rng(3).normal(size=1000).astype(dtype)
    wanted = by_pieces(x.astype("float64"), np.ones(1000), np.linspace(-2, 13, 40))
    assert_close(argmax_probability(x), wanted, dtype, "value")
    assert_close(1000 * argmax_probability(np.zeros(1000, dtype)), np.ones(1000), dtype, "value")


def test_draws_win_as_often_as_the_probabilities_say(rng):
    x, s, count = np.asarray([0.0, 0.5, -1.0, 0.25]), np.asarray([1.0, 0.5, 3.0, 0.1]), 200_000
    for distribution, scale, noise in (
        ("normal", s, rng.normal(size=(count, 4))),
        ("gumbel", 0.7, rng.gumbel(size=(count, 4))),
    ):
        p = argmax_probability(x, scale=scale, distribution=distribution)
        won = np.bincount(np.argmax(x + scale * noise, axis=1), minlength=4) / count
        assert np.all(np.abs(won - p) < 5 * np.sqrt(p * (1 - p) / count))


def test_gumbel_noise_has_the_weights_of_a_softmax(anyargmax_backend):
    x = anyargmax_backend.asarray(X)
    for scale in (0.5, anyargmax_backend.asarray(np.asarray([[0.5], [3.0]]))):
        found = pulled(anyargmax_backend, partial(argmax_probability, distribution="gumbel", scale=scale), x)
        wanted = pulled(anyargmax_backend, partial(soft_one_hot, temperature=scale), x)
        assert_close(found[0][0], wanted[0][0], "float64", "value")
        assert_close(found[1][0], wanted[1][0], "float64", "derivative")


@in_each_dtype
@pytest.mark.parametrize("backend", backend_parameters(EAGER))
def test_a_scale_of_any_size_is_a_unit(backend, dtype):
    """In float32 too, a small one has its gradient: that of the unit divided by it."""
    x = np.asarray([[0.5, -0.25, 1.0], [1000.0, -1000.0, 0.0]])
    unit, (slope,) = pulled(backend, argmax_probability, backend.asarray(x, dtype))
    assert np.abs(slope[0]).min() > 0.01
    assert_close(unit[0][1], [1, 0, 0], dtype, "value")
    assert not slope[1].any()
    for scale in (1e-30, 1e-3, 1e3, 1e30):
        here = backend.asarray((x * scale).astype(dtype).astype("float64"), dtype)
        values, (gradient,) = pulled(backend, partial(argmax_probability, scale=scale), here)
        assert_close(values[0], unit[0], dtype, "value")
        assert_close(gradient * scale, slope, dtype, "derivative")


def test_masked_scores_have_probability_0_and_gradient_0_and_show_nothing(anyargmax_backend):
    keep = np.asarray([[True, False, True, True], [True, True, True, True], [False] * 4, [False, True, False, False]])
    x = np.random.default_rng(0).normal(size=(4, 4))
    put, s = anyargmax_backend.asarray, np.asarray([1.0, 0.5, 2.0, 0.25])
    for bad in (NAN, INF, -INF):
        f = partial(argmax_probability, mask=put(keep), scale=put(s))
        values, (gradient,) = pulled(anyargmax_backend, f, put(np.where(keep, x, bad)))
        few = argmax_probability(put(x[:1, [0, 2, 3]]), scale=put(s[[0, 2, 3]]))
        assert_close(values[0][0, [0, 2, 3]], anyargmax_backend.to_numpy(few)[0], "float64", "value")
        assert not values[0][~keep].any()
        assert not gradient[~keep].any()
        assert np.isfinite(gradient).all()
        assert (values[0][3, 1], gradient[3, 1]) == (1, 0)  # one kept score alone
        assert_close(values[0][:2].sum(-1), np.ones(2), "float64", "value")


def test_infinite_scores_are_as_probable_as_each_other_and_nan_is_that_of_its_row(anyargmax_backend):
    x = np.asarray(
        [[INF, 0, INF, 1.0], [-INF] * 4, [0.0, -INF, 0.0, -60.0], [NAN, 0.0, 1.0, 2.0], [1.0, INF, 5.0, -INF]]
    )
    values, (gradient,) = pulled(anyargmax_backend, argmax_probability, anyargmax_backend.asarray(x))
    p = np.asarray([[0.5, 0, 0.5, 0], [0] * 4, [0.5, 0, 0.5, 0], [NAN] * 4, [0, 1, 0, 0]])
    assert_close(values[0], p, "float64", "value")
    assert not gradient[[0, 1, 4]].any()
    assert not gradient[2, [1, 3]].any()
    assert np.isnan(gradient[3]).all()
    assert np.isfinite(gradient[2]).all()


@learning
def test_second_derivatives_are_finite_where_scores_are_masked_or_far(backend):
    x = np.asarray([[NAN, 0.5, 0.0, -60.0], [INF, INF, 0.0, 1.0], [0.0, -1e3, 1e3, -INF], [0.0] * 4])
    keep = np.asarray([[False, True, True, True]] * 3 + [[False] * 4])
    f = partial(argmax_probability, mask=backend.asarray(keep), scale=backend.asarray(np.asarray([1.0, 0.5, 2.0, 3.0])))
    curved = pulled_twice(backend, f, x)
    assert np.isfinite(curved).all()
    assert not curved[~keep].any()


@pytest.mark.parametrize("backend", backend_parameters(("jax",)))
def test_scales_that_cannot_be_looked_at_are_right_or_nan(backend):
    import jax

    f = jax.jit(lambda x, s: argmax_probability(x, scale=s))
    x = np.asarray([0.5, 0.25, -3.0])
    for ratio in (1e2, 9e3):
        s = np.asarray([1.0, ratio, 2.0])
        assert_close(np.asarray(f(x, s)), by_pieces(x, s), "float64", "value")
    s = np.asarray([[1.0, 1e9, 2.0], [1.0, 2.0, 3.0], [1.0, -2.0, 3.0]])
    p = np.asarray(f(np.stack([x] * 3), s))
    assert np.isnan(p[[0, 2]]).all()
    assert_close(p[1], by_pieces(x, s[1]), "float64", "value")


@learning
def test_a_scale_that_is_broadcast_has_the_sum_of_the_gradients(backend):
    full = lambda x, s: argmax_probability(x, scale=s)  # noqa: E731
    put = backend.asarray
    for narrow in (np.asarray([1.0, 0.5, 2.0]), np.asarray([[1.0], [0.5]])):
        wide = np.broadcast_to(narrow, X.shape).copy()
        values, (dx, ds) = pulled(backend, full, put(X), put(narrow))
        same, (again, each) = pulled(backend, full, put(X), put(wide))
        lead = tuple(range(2 - narrow.ndim))
        kept = tuple(k + len(lead) for k, n in enumerate(narrow.shape) if n == 1)
        total = each.sum(axis=(*lead, *kept), keepdims=True).reshape(narrow.shape)
        assert_close(values[0], same[0], "float64", "value")
        assert_close(dx, again, "float64", "derivative")
        assert_close(np.reshape(ds, narrow.shape), total, "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(tuple(name for name in EAGER if name != "jax")))
def test_the_probabilities_have_the_dtype_of_the_scores(backend):
    for dtype in backend.dtypes:
        y = argmax_probability(backend.asarray(X, dtype), 0, scale=2.0)
        assert dtype_name(y) == dtype
        wanted = argmax_probability(X, 0, scale=2.0)
        assert_close(backend.to_numpy(y), wanted, dtype, "value", stored=dtype)
    y = argmax_probability(backend.asarray(np.asarray([1, 2]), "int32"))
    assert dtype_name(y) == backend.default_float
    empty = argmax_probability(backend.asarray(np.zeros((0, 3))), scale=2.0)
    assert tuple(empty.shape) == (0, 3)


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_transforms_of_torch_have_the_same_answers(backend):
    import torch

    x, s = torch.asarray(X), torch.asarray(SCALES)
    f = lambda x, s: argmax_probability(x, scale=s)  # noqa: E731
    assert_close(torch.func.vmap(f)(x, s).numpy(), f(x, s).numpy(), "float64", "value")
    forward, reverse = (jac(f, argnums=1)(x, s).numpy() for jac in (torch.func.jacfwd, torch.func.jacrev))
    assert_close(forward, reverse, "float64", "derivative")
    wide, narrow = x.clone().requires_grad_(), s[:1].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(f, (wide, narrow))


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_compiled_by_torch_the_probabilities_have_the_same_gradient(backend):
    import torch

    x, s = (torch.asarray(a) for a in (X, SCALES[:, :1]))
    f = lambda x, s: (argmax_probability(x, scale=s) * torch.asarray([1.0, -0.5, 2.0])).sum()  # noqa: E731
    torch.compiler.reset()
    gradients = []
    for run in (f, torch.compile(f, fullgraph=True, backend="aot_eager")):
        leaves = x.clone().requires_grad_(), s.clone().requires_grad_()
        run(*leaves).backward()
        gradients.append([leaf.grad.numpy() for leaf in leaves])
    for found, wanted in zip(*gradients, strict=True):
        assert_close(found, wanted, "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("tensorflow",)))
def test_graphs_of_tensorflow_have_the_same_answers_for_lengths_that_are_not_known(backend):
    import tensorflow as tf

    for lengths in ([2, 3], [None, 3], [None, None]):
        graph = tf.function(argmax_probability, input_signature=[tf.TensorSpec(lengths, tf.float64)])
        assert_close(graph(tf.constant(X)).numpy(), argmax_probability(X), "float64", "value")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 0.0}, ValueError, "`scale` must be greater than 0, got 0.0"),
        ({"scale": NAN}, ValueError, "`scale` must be greater than 0, got nan"),
        ({"scale": "1"}, TypeError, "`scale` must be a real number or an array, got '1' of type str"),
        ({"scale": np.asarray([1.0, -1.0, 1.0])}, ValueError, "`scale` must be greater than 0 everywhere, got"),
        ({"scale": np.ones(2)}, ValueError, "`scale` must broadcast against the scores' shape (2, 3), got shape (2,)"),
        ({"scale": np.ones((2, 2, 3))}, ValueError, "`scale` must broadcast against the scores' shape (2, 3)"),
        ({"scale": np.asarray([True])}, TypeError, "`scale` must be real, got dtype bool"),
        (
            {"scale": np.ones((2, 3)), "distribution": "gumbel"},
            ValueError,
            "`scale` must broadcast against the reduced shape (2, 1)",
        ),
        ({"distribution": "cauchy"}, ValueError, "`distribution` must be 'normal' or 'gumbel', got 'cauchy'"),
        ({"distribution": None}, TypeError, "`distribution` must be 'normal' or 'gumbel', got None"),
        ({"axis": 2}, ValueError, "`axis` must be in [-2, 1] for shape (2, 3), got 2"),
        ({"mask": np.ones(3)}, TypeError, "`mask` must be a boolean array"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_wrong_argument_is_refused(options, error, message):
    with pytest.raises(error) as caught:
        argmax_probability(X, **options)
    assert message in str(caught.value)
