"""Ties, infinities, NaN and numbers at the ends of the range: no option and no framework makes a wrong number of them."""

import warnings
from functools import partial

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

import anyargmax
from anyargmax import (
    fenchel_young_loss,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.oracle.rows import background_row, entmax_row, top_k_row
from anyargmax.validation.tolerance import EPS, assert_close

INF, NAN = np.inf, np.nan
DIFFERENTIATED = backend_parameters(("numpy", "autograd", "torch", "torch-func", "jax"))
with_derivatives = pytest.mark.parametrize("backend", DIFFERENTIATED)


def value(backend, f, x, dtype="float64"):
    return backend.to_numpy(f(backend.asarray(np.asarray(x), dtype)))


def gradient(backend, f, x, g, dtype="float64"):
    _, pullback = backend.vjp(f, backend.asarray(np.asarray(x), dtype))
    g = tuple(backend.asarray(part, dtype) for part in g) if isinstance(g, tuple) else backend.asarray(g, dtype)
    return backend.to_numpy(pullback(g)[0])


def tangent(backend, f, x, t, dtype="float64"):
    dy = backend.jvp(f, (backend.asarray(x, dtype),), (backend.asarray(t, dtype),))[1]
    return np.stack([backend.to_numpy(part) for part in dy], axis=-1) if isinstance(dy, tuple) else backend.to_numpy(dy)


def loss_of(x, target, **options):
    """The loss with the target by name, for `partial`."""
    return fenchel_young_loss(x, target, **options)


# Ties


@with_derivatives
@pytest.mark.parametrize("scores", [[0.0, 0.0], [2.0, 2.0, 2.0, 2.0], [1.0, -1.0, 1.0, 3.0]], ids=str)
@pytest.mark.parametrize("k", [1, 2])
def test_sigmoid_weights_have_their_gradient_where_scores_tie(backend, scores, k, rng):
    """A sigmoid written with ``abs(x)`` has the derivative 0 there, for a framework that differentiates it."""
    x = np.asarray(scores)

    def f(x):
        return soft_top_k(x, k, kind="sigmoid")

    p = np.asarray([float(w) for w in top_k_row(decimals.exact(x), k, "sigmoid")]) if k < len(x) else np.ones(2)
    s = p * (1 - p) if k < len(x) else np.zeros(2)
    g, t = rng.normal(size=(2, len(x)))
    expected = s * (g - (s @ g) / s.sum()) if k < len(x) else s
    assert_close(gradient(backend, f, x, g), expected, "float64", "derivative")
    along = s * (t - (s @ t) / s.sum()) if k < len(x) else s
    assert_close(tangent(backend, f, x, t), along, "float64", "derivative")


@with_derivatives
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("scores", "k", "temperature"), [([0.0, 5.0, 800.0], 2, 1.0), ([-1.0, -0.5, 3.0], 2, 0.004)], ids=str
)
def test_sigmoid_weights_beside_a_sure_winner_have_their_gradient(backend, scores, k, temperature, dtype, rng):
    """What the winner misses is so little that a derivative by it overflows: the others share the rest."""
    x, z = np.asarray(scores), np.asarray(scores) / temperature
    # The winner has weight 1: of two scores one wins, and each has the sigmoid of half of their difference.
    p = 1 / (1 + np.exp(-(z[:2] - z[1::-1]) / 2))
    s = np.append(p * (1 - p), 0.0)
    g = rng.normal(size=3)
    expected = s * (g - (s @ g) / s.sum())
    f = lambda x: soft_top_k(x, k, kind="sigmoid", temperature=temperature)  # noqa: E731
    assert_close(temperature * gradient(backend, f, x, g, dtype), expected, dtype, "derivative")
    assert_close(temperature * tangent(backend, f, x, g, dtype), expected, dtype, "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_compiled_sigmoid_weights_have_their_gradient_where_scores_tie(backend):
    import torch

    f = torch.compile(lambda x: soft_top_k(x, 1, kind="sigmoid"), backend="aot_eager", fullgraph=True)
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (dx,) = torch.autograd.grad(f(x), x, torch.tensor([1.0, 0.0], dtype=torch.float64))
    np.testing.assert_allclose(dx.numpy(), [0.125, -0.125], rtol=0, atol=EPS["float64"])


HALVES = np.random.default_rng(3).integers(-3, 4, size=(300, 8)) / 2
HALVES[0] = [1.5, -1.0, -0.5, -1.0, -1.5, 0.5, -1.0, -0.5]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_capped_weights_are_exactly_0_and_1_where_scores_tie_with_the_threshold(anyargmax_backend, k):
    rows = HALVES
    p = value(anyargmax_backend, lambda x: soft_top_k(x, k), rows)
    expected = np.stack([[float(w) for w in top_k_row(decimals.exact(row), k, "capped")] for row in rows])
    np.testing.assert_array_equal(p == 0, expected == 0)
    np.testing.assert_array_equal(p == 1, expected == 1)
    assert_close(p, expected, "float64", "value")


@with_derivatives
def test_capped_gradients_leave_out_what_ties_with_the_threshold(backend, rng):
    g = rng.normal(size=HALVES.shape)
    s = np.stack([[0 < w < 1 for w in top_k_row(decimals.exact(row), 3, "capped")] for row in HALVES]) * 1.0
    expected = s * (g - np.sum(s * g, axis=1, keepdims=True) / np.maximum(s.sum(1, keepdims=True), 1))
    assert_close(gradient(backend, lambda x: soft_top_k(x, 3), HALVES, g), expected, "float64", "derivative")


@pytest.mark.parametrize("kind", ["capped", "sigmoid", "subset"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_large_sum_of_winners_loses_no_digits(anyargmax_backend, kind, dtype, rng):
    """Weights near 1 are counted: their sum would be rounded to multiples of k eps."""
    x = np.asarray(np.round(rng.normal(size=400) * 64) / 64)
    expected = [float(w) for w in top_k_row(decimals.exact(x), 300, kind)]
    assert_close(value(anyargmax_backend, lambda x: soft_top_k(x, 300, kind=kind), x, dtype), expected, dtype, "value")


def test_where_all_win_each_weight_is_1(anyargmax_backend, rng):
    """A sum that is rounded may miss k by its last digit there, and no threshold between the scores makes up for it."""
    x, mask = rng.normal(size=(200, 10)), np.arange(12) < 10
    np.testing.assert_array_equal(value(anyargmax_backend, lambda x: soft_top_k(x, 10), x), 1)
    beside = np.pad(x, ((0, 0), (0, 2)))
    kept = anyargmax_backend.asarray(mask, "bool")
    np.testing.assert_array_equal(
        value(anyargmax_backend, lambda x: soft_top_k(x, 10, mask=kept), beside), mask + 0 * beside
    )


# Weights too small for the digits of a threshold


@pytest.mark.parametrize(
    ("n", "alpha", "dtype"),
    [(100, 10.0, "float64"), (3000, 5.0, "float32"), (50, 30.0, "float64"), (7, 3.0, "float32")],
)
def test_equal_scores_have_equal_weights_at_every_alpha(anyargmax_backend, n, alpha, dtype):
    x = np.zeros((2, n))
    for order in (alpha, anyargmax_backend.asarray(np.asarray([[alpha], [alpha + 1]]), dtype)):
        p = value(anyargmax_backend, partial(soft_one_hot, alpha=order), x, dtype)
        np.testing.assert_allclose(p, 1 / n, rtol=16 * EPS[dtype], atol=0)
    y = value(anyargmax_backend, partial(soft_argmax, axis=-1, alpha=alpha), x, dtype)
    np.testing.assert_allclose(y, (n - 1) / 2, rtol=16 * EPS[dtype], atol=0)


@with_derivatives
def test_small_weights_have_their_gradient_at_every_alpha(backend, rng):
    """Ties have the slope ``n^(alpha - 2)``."""
    n, alpha, g = 5, 6.0, rng.normal(size=5)
    dx = gradient(backend, partial(soft_one_hot, alpha=alpha), np.zeros(n), g)
    np.testing.assert_allclose(
        dx, (g - g.mean()) * n ** (alpha - 2), rtol=0, atol=64 * EPS["float64"] * n ** (alpha - 2)
    )


@pytest.mark.parametrize("alpha", [2.5, 3.0, 5.0, 10.0])
def test_weights_at_large_alpha_are_the_oracles(anyargmax_backend, alpha):
    rows = 1e-3 * np.random.default_rng(int(alpha)).normal(size=(6, 5))
    expected = np.stack([[float(w) for w in entmax_row(decimals.exact(row), alpha)] for row in rows])
    p = value(anyargmax_backend, partial(soft_one_hot, alpha=alpha), rows)
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-6)  # half of the digits at the edge, as documented
    inside = expected > 1e-3
    np.testing.assert_allclose(p[inside], expected[inside], rtol=0, atol=1e-9)


@pytest.mark.parametrize("backend", backend_parameters(("torch-func", "jax")))
def test_weights_at_large_alpha_are_the_same_where_they_are_traced(backend):
    """Beside an infinite slope, a Newton step leaves the root that it starts from."""
    rows = np.random.default_rng(8).normal(size=(60, 4))
    for alpha, dtype in ((3.24, "float32"), (5.0, "float32"), (10.0, "float64")):
        x = backend.asarray(rows, dtype)
        traced, _ = backend.vjp(partial(soft_one_hot, alpha=alpha), x)
        p = backend.to_numpy(soft_one_hot(x, alpha=alpha))
        np.testing.assert_allclose(backend.to_numpy(traced), p, rtol=0, atol=64 * EPS[dtype])


# NaN


OPTIONS = {
    "mean": {},
    "median": {"readout": "median"},
    "hard": {"hard": True},
    "window": {"window": 1},
    "hard window": {"window": 1, "hard": True},
    "median window": {"window": 1, "readout": "median"},
    "sparsemax": {"alpha": 2},
    "alpha 3": {"alpha": 3},
    "cold": {"temperature": 1e-3},
    "zero background": {"zero_background": True},
    "positions": {"positions": np.asarray([3.0, 1.0, 4.0, 1.5, 9.0])},
}
FIRST = np.asarray([1.0, 2.0, 3.0, 4.0, 0.5])


@pytest.mark.parametrize("place", range(5), ids="NaN_at_{}".format)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_nan_makes_its_row_nan_whatever_the_option(anyargmax_backend, options, place):
    x = np.stack([FIRST, FIRST])
    x[0, place] = NAN
    options = {name: anyargmax_backend.asarray(o) if name == "positions" else o for name, o in options.items()}
    y = value(anyargmax_backend, partial(soft_argmax, axis=-1, **options), x)
    np.testing.assert_array_equal(np.isnan(y), [True, False])


@pytest.mark.parametrize("place", [0, 4])
@pytest.mark.parametrize(
    "f",
    [
        soft_one_hot,
        partial(soft_one_hot, alpha=1.5),
        partial(soft_one_hot, alpha=3),
        partial(soft_one_hot, temperature=0.1),
        lambda x: soft_top_k(x, 2),
        lambda x: soft_top_k(x, 2, kind="sigmoid"),
        lambda x: soft_top_k(x, 2, hard=True),
        sharpen,
        partial(sharpen, rounds=0),
    ],
    ids=["softmax", "entmax", "alpha 3", "cold", "capped", "sigmoid", "hard top-k", "sharpen", "normalise"],
)
def test_nan_makes_every_weight_of_its_row_nan(anyargmax_backend, f, place):
    """Those of the scores that count as masked, too."""
    x = np.asarray([[0.5, 0.0, 2.0, 1.0, 3.0], [0.5, 1.0, 2.0, 1.0, 3.0]])
    if f is not sharpen and not (isinstance(f, partial) and f.func is sharpen):
        x[0, 1] = -INF
    x[0, place] = NAN
    np.testing.assert_array_equal(np.isnan(value(anyargmax_backend, f, x)), [[True] * 5, [False] * 5])


@pytest.mark.parametrize("n", [4, 64, 5000])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: soft_top_k(x, 4),
        lambda x: soft_top_k(x, 3, kind="sigmoid"),
        partial(soft_one_hot, alpha=3),
        soft_one_hot,
    ],
    ids=["capped", "sigmoid", "alpha 3", "softmax"],
)
def test_nan_beside_plus_inf_or_in_a_long_row_is_not_passed_over(anyargmax_backend, f, n):
    """A compiler's maximum may pass over NaN."""
    x = np.random.default_rng(n).normal(size=(2, n))
    x[:, n // 2] = NAN
    x[1, 3] = INF
    assert np.all(np.isnan(value(anyargmax_backend, f, x)))


def test_nan_of_one_entry_is_no_position(anyargmax_backend):
    for readout in ("mean", "median"):
        assert np.isnan(value(anyargmax_backend, partial(soft_argmax, readout=readout), [NAN]))
        y = value(anyargmax_backend, partial(spatial_soft_argmax, readout=readout), [[1.0, NAN, 2.0]])
        np.testing.assert_array_equal(y, [NAN, NAN])


def test_the_median_of_rows_of_one_entry_is_that_of_the_mean(anyargmax_backend):
    for readout in ("mean", "median"):
        y = value(anyargmax_backend, partial(soft_argmax, axis=-1, readout=readout), [[-INF], [1.0]])
        np.testing.assert_array_equal(y, [NAN, 0.0])


@with_derivatives
@pytest.mark.parametrize("n", [2, 6, 20, 198])
def test_a_median_of_ties_moves_by_the_same_weights_everywhere(backend, n):
    """Exactly half of the weight lies above the middle, whatever the last digits of its sum are."""
    dx = gradient(backend, partial(soft_argmax, readout="median"), np.zeros(n), np.asarray(1.0))
    share = 1 - np.arange(1, n) / n
    steps = 2.0 * ((share > 0.5 + 1e-9) & (share < 1 - 1e-9))
    c = np.concatenate([[0.0], np.cumsum(steps)])
    assert_close(dx, (c - c.mean()) / n, "float64", "derivative")


@with_derivatives
def test_a_median_moves_until_all_weight_lies_above(backend):
    """However little lies below: here 2e-6 of it, in float32."""
    x, t = np.asarray([1.0, -0.5]), 0.25
    f = partial(soft_argmax, alpha=1.15, readout="median", temperature=t)
    small, _ = decimals.rounded(oracle.soft_one_hot(decimals.exact(-x / t), alpha=decimals.number(1.15)))
    slope = 2 - 1.15
    assert 0 < small < 8 * EPS["float32"]
    moved = 2 * small**slope / (1 + small**slope) / t
    dx = gradient(backend, f, -x, np.asarray(1.0), "float32")
    np.testing.assert_allclose(dx, [-moved, moved], rtol=0, atol=8 * EPS["float32"])


@with_derivatives
def test_a_zero_background_of_subnormal_scores_is_one_of_zeros(backend):
    """XLA takes subnormal numbers for 0: elsewhere their quotients are no numbers."""
    x = np.asarray([[1e-40, 1e-40, 0.0], [0.0, 1e-40, 0.0], [0.0, 0.0, 0.0]])
    for readout in ("mean", "median"):
        f = partial(soft_argmax, axis=-1, zero_background=True, readout=readout)
        np.testing.assert_allclose(value(backend, f, x, "float32"), value(backend, f, 0 * x, "float32"), rtol=0, atol=0)
        np.testing.assert_array_equal(gradient(backend, f, x, np.asarray([1.0, 2.0, 3.0]), "float32"), 0)


@with_derivatives
def test_a_tangent_of_the_temperature_is_no_product_with_the_largest_scores(backend):
    x, t = (backend.asarray(np.asarray(rows)) for rows in ([[1.7e308, 1.7e308, 2.5, 0.0]], [[1e30]]))
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    f = lambda x, t: soft_argmax(x, axis=-1, zero_background=True, temperature=t)  # noqa: E731
    _, moved = backend.jvp(f, (x, t), (x * 0 + 1, t * 0 + 3))
    np.testing.assert_allclose(backend.to_numpy(moved), 0, rtol=0, atol=64 * EPS["float64"] * 1.7e308 / 1e30**2)


@pytest.mark.parametrize(
    "backend", backend_parameters(("numpy", "autograd", "torch", "torch-func", "jax", "array_api_strict"))
)
def test_a_target_on_a_masked_score_has_loss_plus_inf_at_every_temperature(backend):
    x, y, mask = np.zeros((1, 4)), np.full((1, 4), 0.25), np.asarray([[True, False, False, False]])
    for temperature in (1.0, 1e300, INF):
        f = partial(loss_of, target=backend.asarray(y), mask=backend.asarray(mask, None), temperature=temperature)
        np.testing.assert_array_equal(value(backend, f, x), INF)
    f = partial(
        loss_of, target=backend.asarray(y), mask=backend.asarray(mask, None), temperature=backend.asarray([[INF]])
    )
    np.testing.assert_array_equal(value(backend, f, x), INF)


@with_derivatives
def test_a_median_of_a_short_row_moves_as_soon_as_a_few_digits_of_weight_are_above_the_half(backend):
    x, t = np.asarray([0.5, 0.5, -1.0]), 0.125
    p = np.exp(x / t) / np.sum(np.exp(x / t))
    f = partial(soft_argmax, readout="median", temperature=t)
    assert 4 * EPS["float32"] < p[1] + p[2] - 0.5 < 32 * EPS["float32"]
    slopes = np.asarray([0.0, 2.0, 2.0])
    dx = gradient(backend, f, x, np.asarray(1.0), "float32")
    assert_close(dx, p * (slopes - p @ slopes) / t, "float32", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
def test_a_median_among_learned_positions_has_their_gradient_beside_that_of_the_scores(backend, rng):
    """It is linear in the positions: each is passed as far as the one before it, less as far as itself."""
    x, c, g = rng.normal(size=(3, 5)), np.asarray([0.0, 1.0, 3.0, 4.0, 7.0]), np.asarray([1.0, -2.0, 0.5])
    p = np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)
    above = np.sum(p, axis=1, keepdims=True) - np.cumsum(p, axis=1)
    passed = np.concatenate([np.ones((3, 1)), np.clip(2 * above - 1, 0, 1)], axis=1)
    slopes = np.cumsum(np.concatenate([np.zeros((3, 1)), 2 * np.diff(c) * (above[:, :-1] > 0.5)], axis=1), axis=1)
    f = lambda x, c: soft_argmax(x, axis=-1, readout="median", positions=c)  # noqa: E731
    arrays = backend.asarray(x), backend.asarray(c)
    _, pullback = backend.vjp(f, *arrays)
    dx, dc = map(backend.to_numpy, pullback(backend.asarray(g)))
    assert_close(dc, g @ (passed[:, :-1] - passed[:, 1:]), "float64", "derivative")
    assert_close(dx, g[:, None] * p * (slopes - np.sum(p * slopes, axis=1, keepdims=True)), "float64", "derivative")
    t = rng.normal(size=5)
    moved = backend.jvp(f, arrays, (arrays[0] * 0, backend.asarray(t)))[1]
    assert_close(backend.to_numpy(moved), (passed[:, :-1] - passed[:, 1:]) @ t, "float64", "derivative")


@with_derivatives
def test_the_gradient_of_a_median_of_a_long_row_is_no_sum_of_its_length(backend):
    """Of 20,000 scores few have weight, and a cotangent that is added up once for each score loses three digits."""
    x, g, t = np.random.default_rng(0).normal(size=20000) * 0.1, 0.37, 0.125
    f = partial(soft_argmax, temperature=t, alpha=2.0, readout="median")
    support = np.sort(np.argsort(x)[-64:])
    p = decimals.rounded(oracle.soft_one_hot(decimals.exact(x[support] / t), alpha=decimals.number(2)))
    support, p = support[p > 0], p[p > 0]
    above = (np.sum(p) - np.cumsum(p))[:-1]
    slopes = np.concatenate([[0], np.cumsum(np.where(above > 0.5, 2 * np.diff(support), 0))])
    expected = np.zeros(20000)
    expected[support] = g * (slopes - np.mean(slopes)) / t
    dx = gradient(backend, f, x, np.asarray(g))
    np.testing.assert_allclose(dx, expected, rtol=0, atol=16 * EPS["float64"] * np.max(np.abs(expected)))


@with_derivatives
@pytest.mark.parametrize("alpha", [1, 2])
def test_a_loss_at_a_temperature_near_the_end_of_the_range_has_its_gradient(backend, alpha):
    x, y = np.asarray([[0.5, -1.0, 2.0]] * 2), np.asarray([[0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    target = backend.asarray(y, "float32")
    for temperature in (INF, 3.4e38, backend.asarray([[INF], [2e38]], "float32")):
        f = partial(fenchel_young_loss, alpha=alpha, temperature=temperature)
        dx = gradient(backend, lambda x, f=f: f(x, target), x, np.asarray([1.0, -2.0]), "float32")
        assert_close(dx, np.asarray([[1.0], [-2.0]]) * (1 / 3 - y), "float32", "derivative")
        assert np.all(np.asarray(value(backend, lambda x, f=f: f(x, target), x, "float32")) > 1e36)


@with_derivatives
@pytest.mark.parametrize("kind", ["capped", "sigmoid"])
def test_where_all_scores_win_none_moves_at_any_temperature(backend, kind, rng):
    x, g = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    for temperature in (1.0, 1e-2, 1e-3):
        f = lambda x, t=temperature: soft_top_k(x, 5, kind=kind, temperature=t)  # noqa: E731
        np.testing.assert_array_equal(gradient(backend, f, x, g, "float32"), 0)
        np.testing.assert_array_equal(value(backend, f, x, "float32"), 1)


@with_derivatives
@pytest.mark.parametrize("alpha", [1, 2])
def test_a_hot_loss_has_the_gradient_of_its_target(backend, alpha):
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    x, y = backend.asarray(np.asarray([[0.5, -1.0, 2.0]] * 2), "float32"), np.asarray([[0.25, 0.25, 0.5]] * 2)
    hot = lambda y: fenchel_young_loss(x, y, alpha=alpha, temperature=1e36)  # noqa: E731
    slope = -1 - np.log(y) if alpha == 1 else 0.5 - y
    dy = gradient(backend, hot, y, np.asarray([1.0, -2.0]), "float32")
    assert_close(dy / 1e36, -np.asarray([[1.0], [-2.0]]) * slope, "float32", "derivative")


def test_a_loss_at_an_infinite_temperature_is_no_product_of_it_with_0(anyargmax_backend):
    x, t = anyargmax_backend.asarray(np.asarray([1.0, 2.0])), anyargmax_backend.asarray(np.asarray([INF]))
    mask = anyargmax_backend.asarray(np.asarray([True, False]))
    for target, options, expected in (
        (np.asarray(0), {"mask": mask}, 0.0),
        (np.asarray(1), {"mask": mask}, INF),
        (np.asarray([0.5, 0.5]), {}, 0.0),
        (np.asarray([0.25, 0.75]), {}, INF),
    ):
        f = partial(loss_of, target=anyargmax_backend.asarray(target), temperature=t, **options)
        assert float(anyargmax_backend.to_numpy(f(x))) == expected


@pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
@pytest.mark.parametrize("temperature", [INF, 1e308, 1e300, 2.0], ids=str)
def test_a_loss_near_the_end_of_the_range_moves_with_its_temperature(backend, temperature):
    """By ``H(p) - H(y)``; the value is that times T as far as it can be told from it."""
    x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([0.1, 0.2, 0.3, 0.2, 0.2])
    p = np.exp((x - 5) / temperature) / np.sum(np.exp((x - 5) / temperature))
    entropies = -np.sum(p * np.log(p)) + np.sum(y * np.log(y))
    f = lambda t: fenchel_young_loss(backend.asarray(x), backend.asarray(y), temperature=t)  # noqa: E731
    loss, pullback = backend.vjp(f, backend.asarray(np.asarray([temperature])))
    assert_close(backend.to_numpy(pullback(backend.asarray(1.0))[0]), np.asarray([entropies]), "float64", "derivative")
    expected = (p - y) @ x / temperature + entropies if temperature < INF else INF
    got = float(backend.to_numpy(loss))
    assert_close(np.asarray(got / min(temperature, 1e308)), np.asarray(expected), "float64", "value")


@with_derivatives
def test_a_score_beside_an_infinite_slope_has_its_gradient_in_every_way(backend):
    """At the solved threshold a step has the derivative of its sum, and none of the slope that it is divided by."""
    x = np.asarray([0.223, 0.203, 0.445, -0.305]).astype("float32")
    f = partial(soft_argmax, alpha=5.0)
    p = decimals.rounded(oracle.soft_one_hot(decimals.exact(x), alpha=decimals.number(5)))
    s = np.where(p > 0, np.where(p > 0, p, 1) ** -3, 0)
    expected = s * (np.arange(4) - np.sum(s * np.arange(4)) / np.sum(s))
    dx = gradient(backend, f, x, np.asarray(1.0), "float32")
    np.testing.assert_allclose(dx, expected, rtol=0, atol=0.01 * np.max(np.abs(expected)))


@pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "jax")))
@pytest.mark.parametrize("option", ["temperature", "alpha"])
def test_an_empty_batch_has_gradients_of_options_too(backend, option):
    x, t = backend.asarray(np.zeros((0, 3))), backend.asarray(np.ones((1, 1)))
    _, pullback = backend.vjp(lambda x, t: soft_argmax(x, axis=-1, **{option: t}), x, t)
    dx, dt = pullback(backend.asarray(np.zeros(0)))
    assert tuple(dx.shape) == (0, 3)
    np.testing.assert_array_equal(backend.to_numpy(dt), [[0.0]])


# Infinities and the ends of the range


@pytest.mark.parametrize(
    ("dtype", "temperature"), [("float64", INF), ("float64", 1e308), ("float32", 4.4e36), ("float32", 1e37)]
)
def test_plus_inf_takes_its_limit_at_every_temperature(anyargmax_backend, dtype, temperature):
    x = np.asarray([[INF, 0.0], [0.0, -INF], [-INF, -INF]])
    p = value(anyargmax_backend, partial(soft_one_hot, temperature=temperature), x, dtype)
    np.testing.assert_array_equal(p, [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    p = value(anyargmax_backend, partial(soft_one_hot, temperature=temperature), [[0.0, 3.0]], dtype)
    np.testing.assert_allclose(p, 0.5, rtol=0, atol=EPS[dtype])


def test_hard_top_k_beside_plus_inf_has_exactly_k_ones(anyargmax_backend):
    x = np.asarray([[INF, 3.0, 2.0, 1.0], [INF, 1.0, INF, INF], [-INF, 1.0, -INF, -INF]])
    p = value(anyargmax_backend, lambda x: soft_top_k(x, 2, hard=True), x)
    np.testing.assert_array_equal(p, [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]])


@with_derivatives
@pytest.mark.parametrize("f", [soft_argmax, soft_one_hot, soft_argmax_moments], ids=["position", "weights", "moments"])
def test_a_large_cotangent_over_a_small_temperature_does_not_overflow(backend, f):
    x = np.asarray([0.03, 0.052])
    one = np.asarray(1e30)
    g = {soft_argmax: one, soft_one_hot: np.asarray([1e30, 2e30]), soft_argmax_moments: (one, -one)}[f]
    dx = gradient(backend, partial(f, temperature=1e-9), x, g, "float32")
    np.testing.assert_array_equal(dx, 0)
    dx = gradient(backend, partial(f, alpha=1.5, temperature=1e-9), x, g, "float32")
    np.testing.assert_array_equal(dx, 0)


def test_plus_inf_on_a_zero_background_spreads_evenly(anyargmax_backend):
    x = np.asarray([[1.0, INF, INF, -1.0], [0.0, 1.0, 0.0, 3.0]])
    y = value(anyargmax_backend, partial(soft_argmax, axis=-1, zero_background=True), x)
    assert y[0] == 1.5
    dx = gradient(anyargmax_backend, partial(soft_argmax, axis=-1, zero_background=True), x, np.asarray([1.0, 2.0]))
    np.testing.assert_array_equal(dx[0], 0)
    assert np.all(dx[1] != 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cold_zero_background_loses_no_digits(anyargmax_backend, dtype):
    x = np.asarray([250.3, 255.0, 254.9, 0.0]).astype(dtype)
    y = value(anyargmax_backend, partial(soft_argmax, zero_background=True, temperature=0.1), x, dtype)
    row = background_row([decimals.number(score) / decimals.number(0.1) for score in x])
    expected = float(sum(decimals.number(i) * w for i, w in enumerate(row)))
    assert_close(y, np.asarray(expected), dtype, "value")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_zero_background_at_a_temperature_near_0_is_the_argmax(anyargmax_backend, dtype):
    x = np.asarray([[0.0, 1.0, 1e10], [1e10, 1.0, 0.0]])
    f = partial(soft_argmax, axis=-1, zero_background=True, temperature=1e-30)
    np.testing.assert_array_equal(value(anyargmax_backend, f, x, dtype), [2.0, 0.0])
    np.testing.assert_array_equal(gradient(anyargmax_backend, f, x, np.asarray([1.0, 2.0]), dtype), 0)


@with_derivatives
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learned_temperature_near_0_has_gradient_0_on_a_zero_background(backend, dtype):
    x = backend.asarray(np.asarray([[0.0, 1.0, 1e10]]), dtype)
    t = backend.asarray(np.asarray([[1e-30]]), dtype)
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    _, pullback = backend.vjp(lambda t: soft_argmax(x, axis=-1, zero_background=True, temperature=t), t)
    np.testing.assert_array_equal(backend.to_numpy(pullback(backend.asarray(np.asarray([1.0]), dtype))[0]), 0)


def slope_by_the_temperature(x, t):
    """``d/dT`` of the position on a zero background, in float128 and with the scores less their largest."""
    x, t = decimals.exact(x), decimals.number(t)
    top = np.max(x)
    near, rest = np.exp((x - top) / t), np.exp(-top / t)
    w, moved = near - rest, -((x - top) * near + top * rest) / t**2
    c = np.arange(len(x))
    return np.sum(moved * c) / np.sum(w) - np.sum(w * c) * np.sum(moved) / np.sum(w) ** 2


@with_derivatives
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("scores", "temperature"),
    [
        pytest.param(np.exp(-((np.arange(16) - 7.3) ** 2) / 8), 0.01, id="a heatmap"),
        pytest.param(np.asarray([200.0, 201.0, 199.0]), 0.05, id="three scores"),
        pytest.param(np.asarray([1e6, 1e6 + 1, 1e6 - 1]), 1.0, id="scores far from zero"),
        pytest.param(np.asarray([0.3, 0.2, 0.0]), 0.5, id="a temperature above the scores"),
    ],
)
def test_a_learned_temperature_below_the_scores_loses_no_digits_on_a_zero_background(
    backend, scores, temperature, dtype
):
    x, t = backend.asarray(scores, dtype), backend.asarray(np.asarray([temperature]), dtype)
    expected = float(slope_by_the_temperature(backend.to_numpy(x), backend.to_numpy(t)[0]))
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    f = lambda t: soft_argmax(x, zero_background=True, temperature=t)  # noqa: E731
    _, pullback = backend.vjp(f, t)
    dt = backend.to_numpy(pullback(backend.asarray(np.asarray(1.0), dtype))[0])
    assert_close(temperature * dt, np.asarray([temperature * expected]), dtype, "derivative")
    moved = backend.to_numpy(backend.jvp(f, (t,), (backend.asarray(np.ones(1), dtype),))[1])
    assert_close(temperature * moved, np.asarray(temperature * expected), dtype, "derivative")


@with_derivatives
@pytest.mark.parametrize(
    ("scores", "temperature"), [([1.9, 3.4e38, 3.4e38], 0.2), ([0.07, 0.15], 1e-30), ([0.3, 1.6], INF)], ids=str
)
def test_a_learned_temperature_far_from_the_scores_is_still_on_a_zero_background(backend, scores, temperature):
    x, t = backend.asarray(np.asarray(scores), "float32"), backend.asarray(np.asarray([temperature]), "float32")
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    f = lambda t: soft_argmax(x, zero_background=True, temperature=t)  # noqa: E731
    _, pullback = backend.vjp(f, t)
    np.testing.assert_array_equal(backend.to_numpy(pullback(backend.asarray(np.asarray(1.0), "float32"))[0]), 0)
    moved = backend.jvp(f, (t,), (backend.asarray(np.ones(1), "float32"),))[1]
    np.testing.assert_array_equal(backend.to_numpy(moved), 0)


@with_derivatives
@pytest.mark.parametrize(
    ("scores", "temperature"), [([0.5, 0.0, 0.06], INF), ([0.5, 0.0, 0.06], 1e305)], ids=["inf", "1e305"]
)
def test_a_hot_zero_background_weighs_by_the_scores(backend, scores, temperature, rng):
    x, c = np.asarray(scores), np.arange(3.0)
    f = partial(soft_argmax, zero_background=True, temperature=temperature)
    assert_close(value(backend, f, x), c @ x / x.sum(), "float64", "value")
    dx = gradient(backend, f, x, np.asarray(1.0))
    assert_close(dx, (c - c @ x / x.sum()) / x.sum(), "float64", "derivative")


# Weights that are sharpened


def test_a_negative_weight_makes_its_row_nan_at_every_power(anyargmax_backend):
    p = np.asarray([[-1.0, 3.0], [1.0, 3.0]])
    for options in ({}, {"rounds": 0}, {"power": 1}, {"power": 0.5}):
        np.testing.assert_array_equal(
            np.isnan(value(anyargmax_backend, partial(sharpen, **options), p)), [[True] * 2, [False] * 2]
        )


def test_a_weight_of_plus_inf_takes_all_at_every_power(anyargmax_backend):
    p = np.asarray([[INF, 1.0, INF], [INF, 0.0, 5.0]])
    for options in ({}, {"rounds": 0}, {"power": 1}, {"power": 0.5}):
        np.testing.assert_array_equal(
            value(anyargmax_backend, partial(sharpen, **options), p), [[0.5, 0, 0.5], [1, 0, 0]]
        )
        g = np.asarray([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
        np.testing.assert_array_equal(gradient(anyargmax_backend, partial(sharpen, **options), p, g), 0)


@pytest.mark.parametrize("size", [1e-30, 1e-37, 1e37, 3e38])
def test_normalising_needs_no_size(anyargmax_backend, size):
    p = np.asarray([0.25, 0.75]) * size
    q = value(anyargmax_backend, partial(sharpen, rounds=0), p, "float32")
    np.testing.assert_allclose(q, [0.25, 0.75], rtol=0, atol=2 * EPS["float32"])
    if size < 1e38:  # then the gradient is a normal number
        dp = gradient(anyargmax_backend, partial(sharpen, rounds=0), p, np.asarray([1.0, 2.0]), "float32")
        np.testing.assert_allclose(dp * size, [-0.75, 0.25], rtol=64 * EPS["float32"], atol=0)


# The loss


def test_nan_in_a_row_is_aloss_of_nan_wherever_the_target_is(anyargmax_backend):
    x, mask = np.asarray([[NAN, 1.0, 2.0], [0.0, 1.0, 2.0]]), np.asarray([[True, True, False]] * 2)
    target, mask = anyargmax_backend.asarray(np.asarray([2, 2])), anyargmax_backend.asarray(mask)
    f = partial(loss_of, target=target, mask=mask)
    np.testing.assert_array_equal(value(anyargmax_backend, f, x), [NAN, INF])


@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_a_row_without_a_kept_score_has_loss_0_and_no_gradient(anyargmax_backend, alpha):
    x = np.asarray([[0.5, 1.0, 2.0], [1.0, 0.5, 0.25]])
    mask = anyargmax_backend.asarray(np.asarray([[True, True, True], [False] * 3]))
    target = np.asarray([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25]])
    f = partial(loss_of, target=anyargmax_backend.asarray(target), mask=mask, alpha=alpha)
    assert value(anyargmax_backend, f, x)[1] == 0
    dx = gradient(anyargmax_backend, f, x, np.asarray([1.0, NAN]))
    np.testing.assert_array_equal(dx[1], 0)
    assert np.all(np.isfinite(dx[0]))
    indices = partial(loss_of, target=anyargmax_backend.asarray(np.asarray([1, 1])), mask=mask, alpha=alpha)
    assert value(anyargmax_backend, indices, x)[1] == 0


@with_derivatives
def test_the_gradient_of_the_loss_is_0_where_the_weights_are_the_target(backend, rng):
    x = np.asarray([[0.5, 1.0, -2.0], [1.0, 0.5, 0.25]])
    target = np.asarray([[0.25, 0.75, 0.0], [0.0, 0.25, 0.75]])
    g = rng.normal(size=2)
    f = partial(loss_of, target=backend.asarray(target), alpha=2)
    expected = g[:, None] * (value(backend, partial(soft_one_hot, alpha=2), x) - target)
    assert_close(gradient(backend, f, x, g), expected, "float64", "derivative")


@with_derivatives
@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_the_target_has_a_gradient_where_it_is_0_or_the_weight(backend, alpha):
    x, target = np.asarray([[0.5, 1.0, -2.0]]), np.asarray([[0.25, 0.75, 0.0]])
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    scores = backend.asarray(x)
    _, pullback = backend.vjp(lambda y: fenchel_young_loss(scores, y, alpha=alpha), backend.asarray(target))
    dy = backend.to_numpy(pullback(backend.asarray(np.asarray([1.0])))[0])
    with np.errstate(divide="ignore"):
        slope = -1 - np.log(target) if alpha == 1 else (1 / alpha - target ** (alpha - 1)) / (alpha - 1)
    assert_close(dy, -(x - 1) - slope, "float64", "derivative")


@with_derivatives
@pytest.mark.parametrize("alpha", [1 + 1e-6, 1.0001, 1.01, 1.5])
def test_the_targets_gradient_loses_no_digits_near_alpha_1(backend, alpha):
    x, target = np.zeros(2), np.asarray([0.75, 0.25])
    if backend.name == "numpy":  # which differentiates by autograd
        backend = PRESENT["autograd"]
    scores = backend.asarray(x)
    _, pullback = backend.vjp(lambda y: fenchel_young_loss(scores, y, alpha=alpha), backend.asarray(target))
    a, y = decimals.number(alpha), decimals.exact(target)
    slope = [float((1 / a - share ** (a - 1)) / (a - 1)) for share in y]
    dy = backend.to_numpy(pullback(backend.asarray(np.asarray(1.0)))[0])
    assert_close(dy, -np.asarray(slope), "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
@pytest.mark.parametrize("alpha", [1, 2])
def test_compiled_losses_have_their_gradient_where_the_weights_are_the_target(backend, alpha):
    import torch

    x = backend.asarray(np.asarray([[0.5, 1.0, -2.0]])).requires_grad_()
    y = soft_one_hot(x.detach(), alpha=alpha)
    f = torch.compile(lambda x: fenchel_young_loss(x, y, alpha=alpha).sum(), backend="aot_eager", fullgraph=True)
    (dx,) = torch.autograd.grad(f(x), x)
    np.testing.assert_allclose(dx.numpy(), 0, rtol=0, atol=4 * EPS["float64"])


@with_derivatives
@pytest.mark.parametrize(
    "f",
    [
        soft_one_hot,
        partial(soft_one_hot, alpha=1.5),
        partial(soft_one_hot, alpha=3),
        lambda x, **o: soft_top_k(x, 2, **o),
    ],
    ids=["softmax", "entmax", "alpha 3", "top-k"],
)
def test_a_nan_in_the_cotangent_of_a_masked_weight_changes_nothing(backend, f):
    x = np.asarray([[0.5, 1.0, 0.75, 1.5], [1.0, 0.0, 0.5, 0.25]])
    g = np.asarray([[1.0, -0.5, 2.0, 0.25], [0.5, 1.5, -1.0, 2.0]])
    mask = np.asarray([[True, True, False, True], [False, True, True, True]])
    f = partial(f, mask=backend.asarray(mask))
    clean = gradient(backend, f, x, np.where(mask, g, 0))
    np.testing.assert_array_equal(gradient(backend, f, x, np.where(mask, g, NAN)), clean)
    assert np.any(clean != 0)


# What may not be looked at before it is used


@pytest.mark.parametrize("backend", backend_parameters(("torch-func", "jax")))
@pytest.mark.parametrize(
    ("f", "bad"),
    [
        (lambda x, t: soft_argmax(x, axis=-1, temperature=t), [[0.0], [1.0]]),
        (lambda x, t: soft_argmax(x, axis=-1, temperature=t, alpha=1.5), [[-1.0], [1.0]]),
        (lambda x, t: soft_argmax(x, axis=-1, temperature=t, zero_background=True), [[-1.0], [1.0]]),
        (lambda x, t: soft_argmax(x, axis=-1, alpha=t), [[0.5], [1.0]]),
        (lambda x, t: soft_argmax(x, axis=-1, alpha=t), [[INF], [1.0]]),
        (fenchel_young_loss, [[0.5, 0.25, 0.5], [0.5, 0.25, 0.25]]),
        (fenchel_young_loss, [[1.5, -0.5, 0.0], [0.5, 0.25, 0.25]]),
    ],
    ids=["temperature 0", "temperature -1", "background", "alpha 0.5", "alpha inf", "target sum", "target sign"],
)
def test_a_traced_value_out_of_range_makes_its_row_nan(backend, f, bad):
    x, t = backend.asarray(np.asarray([[0.0, 1.0, 2.0]] * 2)), backend.asarray(np.asarray(bad))
    if backend.name == "jax":
        import jax

        y = jax.jit(f)(x, t)
    else:
        import torch

        y = torch.func.vmap(lambda x, t: f(x[None], t[None])[0])(x, t)
    np.testing.assert_array_equal(np.isnan(backend.to_numpy(y)), [True, False])


# Forward mode


EMPTY = np.asarray([[1.0, 1.25, 1.5], [-INF, -INF, -INF], [0.0, 0.5, 0.0]])


@pytest.mark.parametrize("how", ["mask", "-inf scores"])
@pytest.mark.parametrize(
    "f",
    [
        partial(soft_argmax, axis=-1),
        partial(soft_argmax, axis=-1, hard=True),
        partial(soft_argmax, axis=-1, readout="median"),
        partial(soft_argmax, axis=-1, window=1),
        partial(soft_argmax, axis=-1, alpha=2),
        partial(soft_argmax, axis=-1, alpha=3),
        partial(spatial_soft_argmax, axes=(1,)),
        partial(soft_argmax_moments, axis=-1),
        soft_one_hot,
        lambda x, **o: soft_top_k(x, 2, **o),
    ],
    ids=["mean", "hard", "median", "window", "sparsemax", "alpha 3", "spatial", "moments", "weights", "top-k"],
)
def test_the_tangent_of_a_row_without_a_kept_score_is_0(anyargmax_backend, f, how, rng):
    x, t = EMPTY, rng.normal(size=EMPTY.shape)
    if how == "mask":
        f, x = partial(f, mask=anyargmax_backend.asarray(x != -INF)), np.where(x == -INF, 5.0, x)
    dy = tangent(anyargmax_backend, f, x, t)
    np.testing.assert_array_equal(dy[1], 0)
    assert np.all(np.isfinite(dy))
    assert np.any(dy[0] != 0)


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_a_dual_tensor_without_a_kept_score_has_tangent_0(backend, rng):
    from torch.autograd import forward_ad

    with forward_ad.dual_level():
        x = forward_ad.make_dual(backend.asarray(EMPTY), backend.asarray(rng.normal(size=EMPTY.shape)))
        dy = forward_ad.unpack_dual(soft_argmax(x, axis=-1)).tangent.numpy()
    assert dy[1] == 0
    assert np.all(np.isfinite(dy))


# What comes back


CALLS = {
    "weights": partial(soft_one_hot, axis=None),
    "hard weights": partial(soft_one_hot, axis=None, hard=True),
    "sparse weights": partial(soft_one_hot, axis=None, alpha=1.5),
    "position": soft_argmax,
    "median": partial(soft_argmax, readout="median"),
    "minimum": soft_argmin,
}


@pytest.mark.parametrize("f", CALLS.values(), ids=CALLS)
def test_what_has_no_axes_is_an_array_all_the_same(anyargmax_backend, f):
    x = anyargmax_backend.asarray(np.asarray(3.0), "float64")
    kind = type(x)
    y, pullback = anyargmax.vjp(f, x)
    for array in (
        f(x),
        y,
        pullback(anyargmax_backend.asarray(np.asarray(1.0), "float64"))[0],
        anyargmax.jvp(f, (x,), (x,))[1],
    ):
        assert isinstance(array, kind), type(array)
        assert tuple(array.shape) == ()
    assert anyargmax_backend.to_numpy(f(x)) == (1.0 if "one_hot" in str(f) else 0.0)


def test_a_loss_without_axes_is_an_array(anyargmax_backend):
    x = anyargmax_backend.asarray(np.asarray([1.0, 2.0]), "float64")
    for target in (np.asarray(1), np.asarray([0.25, 0.75])):
        assert isinstance(fenchel_young_loss(x, anyargmax_backend.asarray(target)), type(x))


@pytest.mark.parametrize(
    "f",
    [
        partial(soft_argmax, axis=-1),
        partial(soft_argmax, axis=-1, zero_background=True),
        partial(soft_argmax, axis=-1, readout="median"),
        partial(soft_argmax, axis=-1, window=1),
        soft_one_hot,
        partial(soft_one_hot, alpha=1.5),
        lambda x: soft_top_k(x, 2),
        sharpen,
        partial(sharpen, rounds=0),
        loss_of,
    ],
    ids=["mean", "background", "median", "window", "weights", "entmax", "top-k", "sharpen", "normalise", "loss"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_has_the_dtype_of_what_it_is_the_gradient_of(anyargmax_backend, f, dtype):
    x = anyargmax_backend.asarray(np.asarray([[0.25, 0.5, 0.125]]), dtype)
    f = partial(f, target=anyargmax_backend.asarray(np.asarray([1]))) if f is loss_of else f
    y, pullback = anyargmax.vjp(f, x)
    assert y.dtype == x.dtype
    assert pullback(y)[0].dtype == x.dtype
    assert anyargmax.jvp(f, (x,), (x,))[1].dtype == x.dtype


# NumPy's error state


# JAX computes in its compiler, which knows no error state.
@pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "array_api_strict", "torch")))
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: soft_top_k(x, 3, kind="sigmoid"), [-INF, -INF, 0.8, 1.0]),
        (partial(soft_argmax, zero_background=True), [0.0, 1000.0]),
        (partial(soft_argmax, zero_background=True, temperature=1e-300), [0.0, 1.0, 1e10]),
        (soft_argmax, [-INF, -INF]),
        (soft_argmax, [INF, 0.0, 1e308]),
        (partial(soft_argmax, temperature=1e-300), [1e300, 0.0, -1e300]),
        (partial(soft_one_hot, alpha=1.5), [0.0, 1000.0, NAN]),
        (partial(soft_one_hot, alpha=2), np.linspace(-1e3, 1.0, 500)),
        (partial(soft_one_hot, alpha=10), [0.0, 1e-20, -1.0]),
        (partial(soft_argmax, readout="median"), [0.0, -745.0, 745.0]),
        (sharpen, [1e-300, 0.5, 1.0]),
        (partial(sharpen, rounds=0), [1e308, 1e308]),
        (soft_one_hot, [0.0, -740.0, 3.0]),
    ],
    ids=lambda case: "scores" if not callable(case) else "call",
)
def test_no_error_state_of_numpy_and_no_warning_is_felt(backend, f, x, rng):
    array = backend.asarray(np.asarray(x), "float64")
    quiet = backend.to_numpy(f(array))
    _, pullback = anyargmax.vjp(f, array)
    g = backend.asarray(rng.normal(size=quiet.shape), "float64")
    t = backend.asarray(rng.normal(size=np.shape(x)), "float64")
    dx, dy = pullback(g)[0], anyargmax.jvp(f, (array,), (t,))[1]
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(backend.to_numpy(f(array)), quiet)
        np.testing.assert_array_equal(backend.to_numpy(anyargmax.vjp(f, array)[1](g)[0]), backend.to_numpy(dx))
        np.testing.assert_array_equal(backend.to_numpy(anyargmax.jvp(f, (array,), (t,))[1]), backend.to_numpy(dy))
