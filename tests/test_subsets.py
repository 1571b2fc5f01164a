"""Random k-subsets: their marginals and derivatives against all subsets in 50 digits, and the draws against probabilities."""

import math
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from conftest import NAMES, PRESENT, backend_parameters
from pullbacks import direction_of

from anyargmax import soft_one_hot, soft_top_k
from anyargmax._frameworks import registry
from anyargmax._kernels import selection
from anyargmax._rules.relaxations import WINNERS
from anyargmax._rules.subset_draws import draw_subset
from anyargmax._rules.subsets import DIRECT, convolved
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle.rows import subset_row
from anyargmax.validation.tolerance import EPS, assert_close

INF, NAN = np.inf, np.nan
DIFFERENTIATED = ("numpy", "autograd", "torch", "torch-func", "jax", "tensorflow")
with_derivatives = pytest.mark.parametrize("backend", backend_parameters(DIFFERENTIATED))
# Dask makes a graph of each of the rules' operations: tests/test_matrix.py has a call of it.
quick = pytest.mark.parametrize("backend", backend_parameters(tuple(name for name in NAMES if name != "dask")))
SIZES = [(4, 2), (5, 4), (6, 1), (6, 3)]
# JAX compiles each shape and dtype: it has one of each, beside the calls of tests/test_matrix.py.
COMPILED = {
    ("jax", n, k, dtype) for n, k in SIZES for dtype in ("float32", "float64") if (n, k, dtype) != (6, 3, "float64")
}


def each_size(names):
    """Parameters of frameworks, sizes and dtypes."""
    return pytest.mark.parametrize(
        ("backend", "n", "k", "dtype"),
        [
            pytest.param(PRESENT[name], n, k, dtype, id=f"{k}_of_{n}-{name}-{dtype}")
            for n, k in SIZES
            for name in names
            for dtype in ("float32", "float64")
            if name in PRESENT and (name, n, k, dtype) not in COMPILED
        ],
    )


SCALES = np.asarray([[0.1], [1.0], [5.0], [30.0]])


def weights(k, **options):
    return lambda x: soft_top_k(x, k, kind="subset", **options)


def value(backend, f, x, dtype="float64"):
    return backend.to_numpy(f(backend.asarray(x, dtype)))


def gradient(backend, f, x, g, dtype="float64"):
    _, pullback = backend.vjp(f, backend.asarray(x, dtype))
    return backend.to_numpy(pullback(backend.asarray(g, dtype))[0])


def tangent(backend, f, x, t, dtype="float64"):
    return backend.to_numpy(backend.jvp(f, (backend.asarray(x, dtype),), (backend.asarray(t, dtype),))[1])


@decimals.precise
def enumerated(scores, k):
    """All subsets as rows of indicators, and their probabilities."""
    scores = decimals.exact(scores)
    top = max(scores)
    sets = list(combinations(range(len(scores)), k))
    mass = [sum(scores[i] - top for i in chosen).exp() for chosen in sets]
    members = np.asarray([[Decimal(i in chosen) for i in range(len(scores))] for chosen in sets])
    return members, np.asarray([m / sum(mass) for m in mass])


@decimals.precise
def moments(scores, k, *directions):
    """The expectation of each indicator, less the mean, times those of the sums of each direction, less their means."""
    members, probability = enumerated(scores, k)
    mean = probability @ members
    if not directions:
        return decimals.rounded(mean)
    for direction in directions:
        probability = probability * ((members - mean) @ decimals.exact(direction))
    return decimals.rounded(probability @ (members - mean))


def by_rows(x, k, *directions):
    return np.stack([moments(row, k, *(direction[r] for direction in directions)) for r, row in enumerate(x)])


def rows_of(rng, n):
    return SCALES * rng.normal(size=(len(SCALES), n)), *rng.normal(size=(2, len(SCALES), n))


@each_size([name for name in NAMES if name != "dask"])
def test_weights_are_how_often_an_entry_is_in_a_subset(backend, n, k, dtype, rng):
    x = rows_of(rng, n)[0].astype(dtype).astype("float64")
    assert_close(value(backend, weights(k), x, dtype), by_rows(x, k), dtype, "value")


@each_size(DIFFERENTIATED)
def test_the_jacobian_is_the_covariance_of_the_indicators(backend, n, k, dtype, rng):
    x, g, _ = (a.astype(dtype).astype("float64") for a in rows_of(rng, n))
    expected = by_rows(x, k, g)
    assert_close(gradient(backend, weights(k), x, g, dtype), expected, dtype, "derivative")
    assert_close(tangent(backend, weights(k), x, g, dtype), expected, dtype, "derivative")


@pytest.mark.parametrize("backend", backend_parameters(DIFFERENTIATED[1:]))
def test_the_second_derivative_is_the_third_central_moment(backend, rng):
    k = 3
    x, _, t = rows_of(rng, 6)
    g = direction_of(x)[0]
    found = backend.second(weights(k), (backend.asarray(x),), backend.asarray(g), (backend.asarray(t),))[0]
    assert_close(backend.to_numpy(found), by_rows(x, k, g, t), "float64", "derivative")


@with_derivatives
def test_the_temperature_has_the_derivative_of_scores_that_shrink(backend, rng):
    x, g, _ = rows_of(rng, 5)
    temperature = np.asarray([[0.5], [1.0], [2.0], [8.0]])
    if backend.name == "numpy":  # differentiates the first array alone
        backend = PRESENT["autograd"]
    f = lambda t: soft_top_k(backend.asarray(x), 2, kind="subset", temperature=t)  # noqa: E731
    z = x / temperature
    expected = -np.sum(by_rows(z, 2, g) * z, axis=1, keepdims=True) / temperature
    assert_close(gradient(backend, f, temperature, g) / 30, expected / 30, "float64", "derivative")


def long_row(rng, n, scale, dtype):
    return (scale * rng.normal(size=n)).astype(dtype)


@pytest.mark.parametrize(
    ("k", "scale", "dtype", "names"),
    [
        (50, 5.0, "float32", ("numpy", "torch", "jax")),
        (50, 5.0, "float64", ("numpy", "torch")),
        (10, 1.0, "float32", ("numpy", "torch")),
    ],
    ids=["50_far_apart-float32", "50_far_apart-float64", "10_near-float32"],
)
def test_a_thousand_scores_have_the_weights_and_the_gradient_of_60_digits(k, scale, dtype, names, rng):
    """Along a cotangent that is 1 for the larger half of the winners, and -1 for all others."""
    x = long_row(rng, 1000, scale, dtype)
    g = np.where(x > np.sort(x)[-k // 2], 1.0, -1.0)
    with decimals.digits(60):
        row, step = decimals.exact(x), decimals.STEP * decimals.exact(g)
        wanted, above, below = (decimals.exact(subset_row(list(z), k)) for z in (row, row + step, row - step))
        expected = decimals.rounded((above - below) / (2 * decimals.STEP))
    wanted = decimals.rounded(wanted)
    for name in names:
        if name in PRESENT:
            y, pullback = PRESENT[name].vjp(weights(k), PRESENT[name].asarray(x, dtype))
            p, dx = (PRESENT[name].to_numpy(a) for a in (y, pullback(PRESENT[name].asarray(g, dtype))[0]))
            assert np.max(np.abs(p - wanted)) <= 4 * EPS[dtype]
            large = wanted > 1e-6  # a score that is further away has lost digits where it was shifted
            assert np.max(np.abs(p / wanted - 1)[large]) <= 8.4 * EPS[dtype]  # 1e-6 in float32
            assert np.max(np.abs(dx - expected)) <= 8 * EPS[dtype]


@quick
def test_one_winner_has_the_weights_of_softmax(backend, rng):
    x = 4 * rng.normal(size=(3, 9))
    assert_close(value(backend, weights(1), x), value(backend, soft_one_hot, x), "float64", "value")


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch", "tensorflow", "array_api_strict")))
def test_what_is_left_out_is_a_subset_too(backend, rng):
    x = 3 * rng.normal(size=(2, 11))
    assert_close(value(backend, weights(4), x), 1 - value(backend, weights(7), -x), "float64", "value")


@with_derivatives
def test_where_no_more_than_k_are_kept_all_have_weight_1_and_gradient_0(backend, rng):
    x, g = np.asarray([[0.5, 1.0, -2.0, -INF], [0.5, -INF, 3.0, -INF]]), rng.normal(size=(2, 4))
    np.testing.assert_array_equal(value(backend, weights(3), x), x > -INF)
    np.testing.assert_array_equal(gradient(backend, weights(3), x, g), 0)


@with_derivatives
def test_far_scores_and_infinite_ones_have_their_limits(backend, rng):
    x = np.asarray([[1000.0, -1000.0, 0.5, 0.0, -1e30], [INF, INF, INF, 2.0, 1.0], [INF, 1.0, 0.0, -1.0, -INF]])
    third = 1 / 3
    one = 1 / (1 + math.exp(-0.5))
    rest = np.exp([1.0, 0.0, -1.0]) / np.sum(np.exp([1.0, 0.0, -1.0]))
    expected = [[1, 0, one, 1 - one, 0], [2 * third] * 3 + [0, 0], [1, *rest, 0]]
    g = rng.normal(size=x.shape)
    slope = np.zeros_like(x)
    slope[0, 2:4] = one * (1 - one) * (g[0, 2] - g[0, 3]) * np.asarray([1, -1])
    slope[2, 1:4] = rest * (g[2, 1:4] - rest @ g[2, 1:4])
    for dtype in ("float32",) if backend.name == "jax" else ("float32", "float64"):
        assert_close(value(backend, weights(2), x, dtype), np.asarray(expected), dtype, "value")
        found = gradient(backend, weights(2), x, g, dtype)
        assert_close(found, slope, dtype, "derivative")
        np.testing.assert_array_equal(found[slope == 0], 0)


@with_derivatives
def test_nan_blanks_its_own_row_and_a_masked_one_no_row(backend, rng):
    x, g = rng.normal(size=(2, 3, 5))
    mask = np.ones(x.shape, dtype=bool)
    x[0, 2] = x[2, 4] = NAN
    mask[2, 4] = False
    f = weights(2, mask=backend.asarray(mask))
    p, dx = value(backend, f, x), gradient(backend, f, x, g)
    assert np.all(np.isnan(p[0]))
    np.testing.assert_array_equal(p[2, 4], 0)
    np.testing.assert_array_equal(dx[2, 4], 0)
    assert_close(p[1:, :4].sum(1) + p[1:, 4], np.full(2, 2.0), "float64", "value")
    assert_close(dx[2, :4], moments(x[2, :4], 2, g[2, :4]), "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch")))
def test_the_axis_may_be_any_of_them(backend, rng):
    x = rng.normal(size=(2, 3, 4))
    for axis in range(2):
        moved = value(backend, lambda x, axis=axis: soft_top_k(x, 2, axis, kind="subset"), x)
        last = value(backend, weights(2), np.moveaxis(x, axis, -1).copy())
        assert_close(np.moveaxis(moved, axis, -1), last, "float64", "value")


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_torch_compiles_it_to_one_graph_with_its_gradient(backend, rng):
    import torch

    torch._dynamo.reset()
    x, g = backend.asarray(rng.normal(size=(2, 6))).requires_grad_(), backend.asarray(rng.normal(size=(2, 6)))
    (eager,) = torch.autograd.grad(weights(2)(x), x, g)
    compiled = torch.compile(weights(2), backend="aot_eager", fullgraph=True)
    (dx,) = torch.autograd.grad(compiled(x), x, g)
    assert_close(dx.numpy(), eager.numpy(), "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("tensorflow",)))
def test_a_graph_of_tensorflow_takes_lengths_that_are_not_known(backend, rng):
    import tensorflow as tf

    x = rng.normal(size=(2, 3, 6))
    graph = tf.function(weights(2), input_signature=[tf.TensorSpec((None, None, 6), tf.float64)])
    assert_close(graph(backend.asarray(x)).numpy(), value(backend, weights(2), x), "float64", "value")


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch")))
def test_no_kernel_takes_subsets_for_a_relaxation_with_slopes(backend, rng):
    x, g = rng.normal(size=(2, 3, 7))
    with selection.only():
        expected = gradient(backend, weights(3), x, g)
    assert_close(gradient(backend, weights(3), x, g), expected, "float64", "derivative")
    assert_close(expected, by_rows(x, 3, g), "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "jax")))
@pytest.mark.parametrize("count", [1, DIRECT, DIRECT + 1, 40])
def test_a_product_of_polynomials_is_the_same_in_blocks_and_in_a_loop(backend, count, rng):
    a, b = rng.random((count, 2)), rng.random((33, 2))
    ops = registry.select([backend.asarray(a)])
    whole = np.stack([np.convolve(a[:, r], b[:, r]) for r in range(2)], axis=1)
    for start, size in ((0, 33), (5, 20), (count + 20, 12)):
        found = backend.to_numpy(convolved(ops, backend.asarray(a), backend.asarray(b), start, size))
        assert_close(found, whole[start : start + size], "float64", "value")


# Draws


def drawn(backend, x, noise, k, temperature=None, mask=None, axis=-1, dtype="float64"):
    x, noise = backend.asarray(np.asarray(x), dtype), backend.asarray(np.asarray(noise), dtype)
    mask = None if mask is None else backend.asarray(mask)
    ops, static = registry.select([x]), {"axes": (axis % x.ndim,), "relaxation": WINNERS["subset"]._replace(k=k)}
    f = lambda x, noise: draw_subset(ops, x, noise, temperature, mask, **static)  # noqa: E731
    return backend.to_numpy((backend.compile(f) if backend.name == "jax" else f)(x, noise))


def gumbel(rng, *shape):
    return -np.log(-np.log(rng.random(shape)))


def test_subsets_are_drawn_as_often_as_they_are_probable(rng):
    x, count = np.asarray([0.3, -1.0, 1.2, 0.0, 2.0]), 200_000
    found = drawn(PRESENT["numpy"], x, gumbel(rng, count, 5), 2)
    assert np.all(found.sum(1) == 2)
    members, probability = enumerated(x, 2)
    probability = decimals.rounded(probability)
    often = np.mean(np.all(found[:, None] == (members == 1), axis=2), axis=0)
    error = np.sqrt(probability * (1 - probability) / count)
    assert np.all(np.abs(often - probability) < 5 * error)


SAMPLED = tuple(name for name in NAMES if name not in ("dask", "torch-func"))


@pytest.mark.parametrize("backend", backend_parameters(SAMPLED))
def test_the_same_noise_draws_the_same_subset_everywhere(backend, rng):
    dtype = "float32"
    x, noise = (2 * rng.normal(size=(3, 1, 9))).astype(dtype), gumbel(rng, 20, 3, 2, 9).astype(dtype)
    mask = rng.random((3, 2, 9)) < 0.7
    mask[0, 0] = np.arange(9) < 2  # fewer than are drawn
    x = np.broadcast_to(x, mask.shape).copy()
    found = drawn(backend, x, noise, 3, mask=mask, dtype=dtype)
    expected = drawn(PRESENT["numpy"], x, noise, 3, mask=mask, dtype="float64")
    np.testing.assert_array_equal(found, expected)
    assert not np.any(found & ~mask)
    np.testing.assert_array_equal(found.sum(-1), np.broadcast_to(np.minimum(mask.sum(-1), 3), (20, 3, 2)))


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch", "jax")))
def test_noise_at_the_ends_of_its_range_draws_k_of_what_has_weight(backend, rng):
    """Also where it is no number, and where scores lie so far apart that some have no weight."""
    x = np.asarray([[0.0, 0.0, -INF, 1.0, 200.0, -500.0, 3e5], [1.0] * 7, [0.0, -2e38, 2e38, 1.0, 5.0, 6.0, 7.0]])
    noise = rng.choice([1e30, -1e30, 40.0, -40.0, 0.0, INF, -INF, NAN], size=(300, 3, 7))
    for dtype in ("float32",) if backend.name == "jax" else ("float32", "float64"):
        found = drawn(backend, x, noise, 4, dtype=dtype)
        assert np.all(found.sum(-1) == 4)
        assert not np.any(found[:, 0, 2])
        assert not np.any(found[:, 2, 1])


@pytest.mark.parametrize("k", [1, 3, 13], ids=lambda k: f"{k}_of_13")
def test_a_temperature_and_an_axis_go_with_the_draws(k, rng):
    x, noise = rng.normal(size=(13, 2)), gumbel(rng, 5, 13, 2)
    found = drawn(PRESENT["numpy"], x, noise, k, temperature=0.5, axis=0)
    cold = drawn(PRESENT["numpy"], (x / 0.5).T, np.moveaxis(noise, 1, 2), k)
    assert found.shape == noise.shape
    np.testing.assert_array_equal(np.moveaxis(found, 1, 2), cold)
    np.testing.assert_array_equal(found.sum(1), k)


def test_many_draws_have_the_weights_as_their_mean(rng):
    x, count = 2 * rng.normal(size=40), 4000
    found = drawn(PRESENT["numpy"], x, gumbel(rng, count, 40), 15)
    p = value(PRESENT["numpy"], weights(15), x)
    assert np.all(np.abs(found.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / count) + 1 / count)
