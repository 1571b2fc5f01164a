"""Every relaxation: the oracle at sizes that matter, learnable orders, winners, windows, losses, two routes."""

from decimal import Decimal
from functools import partial

import numpy as np
import pytest
from conftest import NAMES, PRESENT, backend_parameters

import anyargmax
from anyargmax import fenchel_young_loss, soft_argmax, soft_argmax_moments, soft_one_hot, soft_top_k
from anyargmax._frameworks.tape import adapter_of
from anyargmax._kernels import selection
from anyargmax.validation.catalogue import CALLS, function, inputs
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.oracle.rows import entmax_row
from anyargmax.validation.tolerance import EPS, TOLERANCE, assert_close, dtype_name, round_to

INF = np.inf
ALPHAS = (1, 1 + 2.0**-20, 1.1, 4 / 3, 1.5, 1.75, 2)
eager = pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch", "jax", "array_api_strict")))


# Dask unrolls the steps of a threshold into its graph, seconds a call: tests/test_matrix.py has one of each kind.
quick = pytest.mark.parametrize("backend", backend_parameters(tuple(name for name in NAMES if name != "dask")))


def value(backend, f, x, dtype="float64"):
    return backend.to_numpy(f(backend.asarray(x, dtype)))


def gradient(backend, f, x, g, dtype="float64"):
    y, pullback = backend.vjp(f, backend.asarray(x, dtype))
    return backend.to_numpy(pullback(backend.asarray(g, dtype_name(y)))[0])


def rows_with_every_support(n):
    """Rows whose sparsemax has a support of 1, 2, ..., n entries: m near the top, the others far below."""
    return np.stack(
        [np.where(np.arange(n) < m, 0.3 * np.arange(n) / n**2, -5.0 - np.arange(n)) for m in range(1, n + 1)]
    )


SUPPORTS = {n: rows_with_every_support(n)[:, np.random.default_rng(n).permutation(n)] for n in (1, 2, 3, 8)}
WIDE = [
    np.random.default_rng(7).normal(size=n) * scale
    for n, scale in ((2000, 0.01), (2000, 1.0), (300, 100.0), (50, 0.01))
]


def hold_to_oracle(actual, expected, dtype):
    """Weights within 16 eps of the oracle, with its support; at a boundary nearer than that, either."""
    assert_close(actual, expected, dtype, "value", dtype)
    certain = (expected == 0) | (expected > 1e-4)
    np.testing.assert_array_equal((actual > 0)[certain], (expected > 0)[certain])


@eager
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", list(SUPPORTS))
def test_supports_of_every_size_are_the_oracles(backend, dtype, alpha, n):
    x = round_to(SUPPORTS[n], dtype)
    expected = decimals.rounded(oracle.soft_one_hot(decimals.exact(x), alpha=alpha))
    hold_to_oracle(value(backend, partial(soft_one_hot, alpha=alpha), x, dtype), expected, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1.1, 1.5, 2])
@pytest.mark.parametrize(
    "row", range(len(WIDE)), ids=["2000_scores_near_ties", "2000_scores", "300_scores_far_apart", "50_scores_near_ties"]
)
def test_long_rows_are_the_oracles_everywhere(dtype, alpha, row):
    x = round_to(WIDE[row], dtype)
    expected = decimals.rounded(np.asarray(entmax_row(list(decimals.exact(x)), alpha)))
    for name in ("numpy", "torch", "jax", "array_api_strict"):
        if name in PRESENT:
            hold_to_oracle(value(PRESENT[name], partial(soft_one_hot, alpha=alpha), x, dtype), expected, dtype)


@eager
@pytest.mark.parametrize("kind", ["capped", "sigmoid"])
@pytest.mark.parametrize("k", [1, 2, 7, 40, 79, 80])
def test_winners_of_long_rows_are_the_oracles(backend, kind, k):
    x = np.stack([np.random.default_rng(k).normal(size=80) * scale for scale in (0.01, 1.0, 100.0)])
    expected = decimals.rounded(oracle.soft_top_k(decimals.exact(x), k=k, kind=kind))
    actual = value(backend, lambda x: soft_top_k(x, k, kind=kind), x)
    assert_close(actual, expected, "float64", "value")
    if kind == "capped":
        np.testing.assert_array_equal((actual > 0) & (actual < 1), (expected > 0) & (expected < 1))


@quick
@pytest.mark.parametrize("kind", ["capped", "sigmoid"])
def test_winners_far_above_the_last_of_them_have_weight_1(backend, kind):
    """So far that no exponential of the distance is a number."""
    x = np.asarray([[2000.0, 1.0, 0.5, 0.375], [0.25, 1e300, 0.5, 0.0], [1e6, -1e6, -3e5, -2e6]])
    f = lambda x: soft_top_k(x, 2, kind=kind)  # noqa: E731
    expected = decimals.rounded(oracle.soft_top_k(decimals.exact(x), k=2, kind=kind))
    assert_close(value(backend, f, x), expected, "float64", "value")
    slopes = gradient(backend, f, x, np.asarray([[3.0, 1.0, -1.0, 2.5]] * 3))
    np.testing.assert_array_equal(slopes[expected == 1], 0)
    assert np.all(slopes[:2][(expected[:2] > 0) & (expected[:2] < 1)] != 0)


@quick
@pytest.mark.parametrize("alpha", [2.5, 3.0])
def test_orders_above_2_are_as_good_as_the_scores_determine_them(backend, alpha, rng):
    """At the edge of the support the slope of the weights in the scores is infinite: half of the digits."""
    x = rng.normal(size=(3, 6))
    expected = decimals.rounded(oracle.soft_one_hot(decimals.exact(x), alpha=alpha))
    np.testing.assert_allclose(value(backend, partial(soft_one_hot, alpha=alpha), x), expected, rtol=0, atol=1e-8)


@eager
@pytest.mark.parametrize(
    "one",
    [np.asarray([[1.5, 1.0, 2.0, 0.0]]), np.asarray([[0.5, 0.5, 0.5, 0.5]]), np.asarray([[1.0, 0.0, 0.0, -1.0]])],
    ids=["boundary", "ties", "edge"],
)
def test_ties_and_boundaries_have_equal_supports_and_gradients(backend, one):
    """At a boundary a score that has just weight 0 is off the support."""
    for alpha in (1.5, 2):
        p = value(backend, partial(soft_one_hot, alpha=alpha), one)
        expected = decimals.rounded(oracle.soft_one_hot(decimals.exact(one), alpha=alpha))
        np.testing.assert_array_equal(p > 0, expected > 0)
        np.testing.assert_allclose(p, expected, rtol=0, atol=4 * EPS["float64"])
    slopes = gradient(backend, partial(soft_one_hot, alpha=2), one, np.asarray([[1.0, 2.0, 3.0, 5.0]]))
    np.testing.assert_array_equal(slopes[p == 0], 0)
    assert abs(slopes.sum()) <= 8 * EPS["float64"]


AUTODIFF = pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))


@AUTODIFF
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1.0, 1 + 2.0**-20, 1.001, 1.25, 1.5, 2.0])
def test_learnable_alpha_has_the_oracles_gradient(backend, dtype, alpha, rng):
    x, g = round_to(rng.normal(size=5), dtype), round_to(rng.normal(size=5), dtype)
    order = decimals.number(np.float32(alpha))
    row = list(decimals.exact(x))
    with decimals.digits(110):  # at alpha = 1 the oracle has no value: a point 1e-18 above it will do
        order, h = (order, decimals.STEP) if order > 1 else (1 + Decimal(10) ** -18, Decimal(10) ** -32)
        up, down = entmax_row(row, order + h), entmax_row(row, order - h)
        expected = float(sum(w * (a - b) for w, a, b in zip(decimals.exact(g), up, down, strict=True)) / (2 * h))
    _, pullback = backend.vjp(
        lambda a: soft_one_hot(backend.asarray(x, dtype), alpha=a), backend.asarray(np.float32(alpha), dtype)
    )
    actual = backend.to_numpy(pullback(backend.asarray(g, dtype))[0])
    assert_close(actual, expected, dtype, "derivative")


@AUTODIFF
def test_temperature_alpha_and_positions_have_gradients_together(backend, rng):
    x = rng.normal(size=(3, 4))
    given = {
        "temperature": np.asarray([[0.5], [1.0], [2.0]]),
        "alpha": np.asarray([[1.25], [1.5], [1.75]]),
        "positions": rng.normal(size=4),
    }
    g = rng.normal(size=3)

    def f(*arrays):
        return soft_argmax(backend.asarray(x), axis=-1, **dict(zip(given, arrays, strict=True)))

    _, pullback = backend.vjp(f, *map(backend.asarray, given.values()))
    gradients = dict(zip(given, map(backend.to_numpy, pullback(backend.asarray(g))), strict=True))
    exact = {name: decimals.exact(array) for name, array in given.items()}
    for name, array in exact.items():
        expected = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            unit = decimals.exact(np.zeros(array.shape))
            unit[index] = decimals.ONE
            moved = decimals.derivative(
                lambda z, name=name: oracle.soft_argmax(decimals.exact(x), axis=-1, **(exact | {name: z})), array, unit
            )
            expected[index] = float(sum(decimals.exact(g) * moved))
        assert_close(gradients[name], expected, "float64", "derivative")


@quick
def test_one_winner_is_sparsemax(backend, rng):
    x = rng.normal(size=(4, 6))
    f = partial(soft_one_hot, alpha=2)
    assert_close(value(backend, lambda x: soft_top_k(x, 1), x), value(backend, f, x), "float64", "value")


@quick
def test_all_winners_have_weight_1_and_gradient_0(backend, rng):
    x, g = rng.normal(size=(2, 2, 5))
    for kind in ("capped", "sigmoid", "subset"):
        f = lambda x, kind=kind: soft_top_k(x, 5, kind=kind)  # noqa: E731
        np.testing.assert_array_equal(value(backend, f, x), 1)
        np.testing.assert_array_equal(gradient(backend, f, x, g), 0)


@quick
@pytest.mark.parametrize("kind", ["capped", "sigmoid", "subset"])
def test_hard_winners_are_exactly_the_k_largest_with_the_soft_gradient(backend, kind, rng):
    x = np.asarray([[1.0, 3.0, 3.0, 3.0, 0.0], [5.0, 1.0, 2.0, 4.0, 3.0]])
    f = lambda x, hard: soft_top_k(x, 2, kind=kind, hard=hard)  # noqa: E731
    np.testing.assert_array_equal(value(backend, partial(f, hard=True), x), [[0, 1, 1, 0, 0], [1, 0, 0, 1, 0]])
    g = rng.normal(size=x.shape)
    np.testing.assert_array_equal(
        gradient(backend, partial(f, hard=True), x, g), gradient(backend, partial(f, hard=False), x, g)
    )


@quick
@pytest.mark.parametrize("kind", ["capped", "sigmoid", "subset"])
@pytest.mark.parametrize("poison", [1e30, np.nan, np.inf], ids=str)
def test_a_masked_score_wins_nothing(backend, kind, poison):
    x = np.asarray([[1.0, 2.0, 0.5, 1.5], [3.0, 1.0, 2.0, 0.0]])
    mask = np.asarray([[True, True, False, True], [False, False, True, False]])
    f = lambda x: soft_top_k(x, 2, kind=kind, mask=backend.asarray(mask))  # noqa: E731
    p = value(backend, f, np.where(mask, x, poison))
    np.testing.assert_array_equal(p, value(backend, f, x))
    np.testing.assert_array_equal(p[~mask], 0)
    np.testing.assert_allclose(p.sum(-1), [2, 1], rtol=0, atol=8 * EPS["float64"])


@quick
def test_a_nan_makes_its_row_of_winners_nan(backend):
    x = np.asarray([[1.0, np.nan, 0.0], [2.0, 1.0, 0.0]])
    for kind in ("capped", "sigmoid", "subset"):
        p = value(backend, lambda x, kind=kind: soft_top_k(x, 2, kind=kind), x)
        np.testing.assert_array_equal(np.isnan(p).all(-1), [True, False])
        assert np.isfinite(p[1]).all()


@quick
@pytest.mark.parametrize("alpha", [1.5, 2, 3])
def test_a_nan_makes_its_row_of_sparse_weights_nan(backend, alpha):
    x = np.asarray([[1.0, np.nan, 0.0], [2.0, 1.0, 0.0]])
    p = value(backend, partial(soft_one_hot, alpha=alpha), x)
    np.testing.assert_array_equal(np.isnan(p).all(-1), [True, False])


def test_a_window_is_not_pulled_by_what_lies_outside(anyargmax_backend):
    x = np.asarray([[0.0, 9.0, 8.0, 0.0, 0.0, 0.0, 8.9]])
    near = value(anyargmax_backend, partial(soft_argmax, axis=-1, window=1), x)
    expected = decimals.rounded(oracle.soft_argmax(decimals.exact(x[:, :3]), axis=-1))
    assert_close(near, expected, "float64", "value")
    slopes = gradient(anyargmax_backend, partial(soft_argmax, axis=-1, window=1), x, np.asarray([1.0]))
    np.testing.assert_array_equal(slopes[0, 3:], 0)
    assert value(anyargmax_backend, partial(soft_argmax, axis=-1, window=0), x) == 1


def test_a_zero_background_does_not_pull(anyargmax_backend):
    x = np.asarray([[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 7])
    f = partial(soft_argmax, axis=-1, zero_background=True)
    assert_close(value(anyargmax_backend, f, x), [1.0, 3.0], "float64", "value")
    np.testing.assert_array_equal(gradient(anyargmax_backend, f, x, np.asarray([1.0, 1.0]))[1], 0)
    assert value(anyargmax_backend, partial(soft_argmax, axis=-1), x)[0] > 2
    assert np.isnan(value(anyargmax_backend, f, np.asarray([[1.0, -1.0]]))[0])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_zero_background_does_not_overflow(anyargmax_backend, temperature):
    x = np.asarray([[0.0, 1000.0, 999.0], [0.0, 0.0, 1.0], [1e5, 0.0, 0.0]])
    f = partial(soft_argmax, axis=-1, zero_background=True, temperature=temperature)
    expected = decimals.rounded(
        oracle.soft_argmax(decimals.exact(x), axis=-1, zero_background=True, temperature=temperature)
    )
    assert_close(value(anyargmax_backend, f, x), expected, "float64", "value")
    assert np.all(np.isfinite(gradient(anyargmax_backend, f, x, np.asarray([1.0, 2.0, -1.0]))))


@quick
def test_losses_are_not_negative_and_0_at_the_target(backend, rng):
    x = rng.normal(size=(4, 5))
    for alpha in (1, 1.25, 1.5, 2, 3):
        target = soft_one_hot(backend.asarray(x), alpha=alpha)
        at_target = backend.to_numpy(fenchel_young_loss(backend.asarray(x), target, alpha=alpha))
        np.testing.assert_allclose(at_target, 0, atol=64 * EPS["float64"] if alpha <= 2 else 1e-7)
        elsewhere = backend.to_numpy(fenchel_young_loss(backend.asarray(-3 * x), target, alpha=alpha))
        assert np.all(elsewhere > 0)


@quick
@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_the_gradient_of_the_loss_is_weights_minus_target(backend, alpha, rng):
    x, g = rng.normal(size=(3, 4)), np.asarray([1.0, -2.0, 0.5])
    target = np.asarray([[1.0, 0, 0, 0], [0.25, 0.25, 0.5, 0], [0, 0, 0, 1.0]])
    f = lambda x: fenchel_young_loss(x, backend.asarray(target), alpha=alpha)  # noqa: E731
    expected = g[:, None] * (value(backend, partial(soft_one_hot, alpha=alpha), x) - target)
    assert_close(gradient(backend, f, x, g), expected, "float64", "derivative")


@quick
@pytest.mark.parametrize("alpha", [1, 1.5, 2])
@pytest.mark.parametrize("kind", ["weights", "indices"])
def test_a_target_with_weight_on_a_masked_score_has_loss_plus_inf(backend, kind, alpha):
    x = np.asarray([[0.5, 2.0, 1.0], [1.0, 0.0, -INF], [0.25, 1.0, 0.5], [0.0, 1.0, 2.0]])
    mask = np.asarray([[True, False, True], [True, True, True], [True, True, False], [False, False, True]])
    index = np.asarray([1, 2, 0, 2])  # on a masked score, on a score of -inf, on kept ones twice
    target = backend.asarray(np.eye(3)[index] if kind == "weights" else index)
    f = lambda x: fenchel_young_loss(x, target, alpha=alpha, mask=backend.asarray(mask))  # noqa: E731
    loss = value(backend, f, x)
    kept = oracle.fenchel_young_loss(decimals.exact(x[2:3, :2]), target=index[2:3], alpha=alpha)
    np.testing.assert_array_equal(loss[[0, 1, 3]], [INF, INF, 0])
    assert_close(loss[2:3], decimals.rounded(kept), "float64", "value")
    slopes = gradient(backend, f, x, np.ones(4))
    expected = value(backend, partial(soft_one_hot, alpha=alpha, mask=backend.asarray(mask)), x) - np.eye(3)[index]
    assert_close(slopes[2:], expected[2:], "float64", "derivative")


@AUTODIFF
@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_the_loss_has_the_oracles_derivatives_in_temperature_and_target(backend, alpha, rng):
    x = rng.normal(size=(2, 4))
    given = np.asarray([[0.5], [2.0]]), np.asarray([[0.5, 0.125, 0.25, 0.125], [0.0625, 0.25, 0.1875, 0.5]])
    moves = rng.normal(size=(2, 4))
    directions = rng.normal(size=(2, 1)), moves - moves.mean(axis=1, keepdims=True)  # weights keep their sum
    g = np.asarray([1.0, -2.0])
    f = lambda t, y: fenchel_young_loss(backend.asarray(x), y, temperature=t, alpha=alpha)  # noqa: E731
    arrays, tangents = ([backend.asarray(a) for a in group] for group in (given, directions))
    gradients = backend.vjp(f, *arrays)[1](backend.asarray(g))
    zeros = [backend.asarray(np.zeros(a.shape)) for a in given]
    exact = [decimals.exact(a) for a in given]
    for k in range(2):

        def alone(z, k=k):
            t, y = [*exact[:k], z, *exact[k + 1 :]]
            return oracle.fenchel_young_loss(decimals.exact(x), target=y, temperature=t, alpha=alpha)

        expected = decimals.rounded(decimals.derivative(alone, exact[k], decimals.exact(directions[k])))
        moved = backend.jvp(f, tuple(arrays), tuple(tangents[j] if j == k else zeros[j] for j in range(2)))[1]
        assert_close(backend.to_numpy(moved), expected, "float64", "derivative")
        pulled = np.sum(backend.to_numpy(gradients[k]) * directions[k], axis=1)
        assert_close(pulled, g * expected, "float64", "derivative")


@AUTODIFF
@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_the_targets_gradient_is_finite_beside_infinite_scores(backend, alpha):
    """Scores of +inf that share all weight count as 0 in it, as a shift of a row may make of them."""
    x = np.asarray([[INF, INF, INF], [0.5, 1.0, -2.0]])
    target = np.asarray([[0.5, 0.25, 0.25], [0.125, 0.5, 0.375]])
    f = lambda y: fenchel_young_loss(backend.asarray(x), y, alpha=alpha)  # noqa: E731
    _, pullback = backend.vjp(f, backend.asarray(target))
    slopes = backend.to_numpy(pullback(backend.asarray([1.0, 2.0]))[0])
    power = 1 + np.log(target) if alpha == 1 else (target ** (alpha - 1) - 1 / alpha) / (alpha - 1)
    expected = power - np.asarray([[0.0] * 3, [-0.5, 0.0, -3.0]])
    assert_close(slopes, expected * np.asarray([[1.0], [2.0]]), "float64", "derivative")


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "torch", "jax", "array_api_strict")))
@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_the_rule_of_the_loss_gives_weights_minus_target_exactly(backend, alpha, rng):
    x, target = rng.normal(size=(3, 4)), np.asarray([[1.0, 0, 0, 0], [0.25, 0.25, 0.5, 0], [0, 0, 0, 1.0]])
    f = lambda x: fenchel_young_loss(x, backend.asarray(target), alpha=alpha)  # noqa: E731
    with selection.only():  # a kernel's weights may differ in the last digit
        slopes = gradient(backend, f, x, np.asarray([1.0, -2.0, 0.5]))
        expected = value(backend, partial(soft_one_hot, alpha=alpha), x) - target
    np.testing.assert_array_equal(slopes, np.asarray([[1.0], [-2.0], [0.5]]) * expected)


@pytest.mark.parametrize("backend", backend_parameters(("dask",)))
def test_nothing_is_computed_before_it_is_asked_for(backend, rng):
    """Values, hard choices, sparse weights, winners and gradients stay lazy graphs."""
    import dask

    def refuse(*args, **kwargs):
        raise AssertionError("computed")

    x, mask = backend.asarray(rng.normal(size=(2, 4))), backend.asarray(np.ones((2, 4), dtype=bool))
    with dask.config.set(scheduler=refuse):
        answers = [
            soft_argmax(x, axis=-1, mask=mask, hard=True, readout="median"),
            soft_one_hot(x, alpha=1.5),
            soft_top_k(x, 2),
            backend.vjp(soft_argmax, x)[1](backend.asarray(1.0))[0],
        ]
        assert all(type(answer) is type(x) for answer in answers)
        with pytest.raises(AssertionError, match="computed"):
            answers[0].compute()


@pytest.mark.parametrize("alpha", [1, 1.5, 2])
def test_half_precision_holds_for_sparse_weights_at_scores_of_minus_1000(backend_dtype, alpha):
    backend, dtype = backend_dtype
    x = np.asarray([[-1000.0, -1001.0, -1000.0], [-1000.0, -1000.0, -1000.0]])
    p = value(backend, partial(soft_one_hot, alpha=alpha), x, dtype)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=0, atol=4 * EPS[dtype])
    np.testing.assert_allclose(p[1], 1 / 3, rtol=0, atol=2 * EPS[dtype])
    assert np.all(np.isfinite(gradient(backend, partial(soft_one_hot, alpha=alpha), x, np.ones_like(x), dtype)))


SECOND_ROUTE = [case for case in CALLS if case.function in ("soft_one_hot", "soft_top_k", "soft_argmax")]


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id.replace(" ", "_")) for case in SECOND_ROUTE])
def test_the_second_route_has_the_value_and_gradient_of_the_rule(backend, case, rng):
    """Detached threshold and two Newton steps, differentiated by torch: an error in either route shows."""
    import torch

    f = function(case, backend)
    x = backend.asarray(inputs(case, "float64").arrays[0])
    by_rule, pullback = anyargmax.vjp(f, x)
    by_steps, second = torch.func.vjp(f, x)
    g = torch.asarray(rng.normal(size=tuple(by_rule.shape)))
    assert_close(backend.to_numpy(by_steps), backend.to_numpy(by_rule), "float64", "value")
    assert_close(backend.to_numpy(second(g)[0]), backend.to_numpy(pullback(g)[0]), "float64", "derivative")


FUNCTIONS = {
    **{f"{name}_weights": partial(soft_one_hot, alpha=alpha) for name, alpha in (("softmax", 1), ("1.1-entmax", 1.1), ("4/3-entmax", 4 / 3), ("1.5-entmax", 1.5), ("sparsemax", 2))},
    "capped_winners": lambda x: soft_top_k(x, 2),
    "sigmoid_winners": lambda x: soft_top_k(x, 2, kind="sigmoid"),
    "subset_winners": lambda x: soft_top_k(x, 2, kind="subset"),
    "windowed_position": partial(soft_argmax, axis=-1, window=1, alpha=1.5),
    "zero_background": lambda x: soft_argmax(x * x, axis=-1, zero_background=True),
    "moments": lambda x: soft_argmax_moments(x, axis=-1, alpha=1.5)[1],
}  # fmt: skip
every_function = pytest.mark.parametrize("name", list(FUNCTIONS))
# Some weights are exactly 0 at every alpha but 1 and 1.1, and no score lies near an edge of the support.
SPARSE = np.asarray([[2.125, 1.75, -3.0, 1.25, -0.5], [0.25, 0.0, 0.5, 0.375, 3.0]])


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
@every_function
def test_torchs_own_checks_pass_to_second_order(backend, name):
    import torch

    x = backend.asarray(SPARSE).requires_grad_()
    f = FUNCTIONS[name]
    assert torch.autograd.gradcheck(f, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, x, check_fwd_over_rev=True)
    weighted = lambda x: (f(x) * torch.arange(1.0, f(x).numel() + 1, dtype=x.dtype).reshape(f(x).shape)).sum()  # noqa: E731
    hessians = [
        outer(inner(weighted))(x.detach())
        for outer in (torch.func.jacfwd, torch.func.jacrev)
        for inner in (torch.func.jacfwd, torch.func.jacrev)
    ]
    for hessian in hessians:
        torch.testing.assert_close(hessian, torch.autograd.functional.hessian(weighted, x.detach()), rtol=0, atol=1e-11)


# Each way to a threshold once: sparsemax, 4/3 and 1.5 take the steps of 1.1. tests/test_extremes.py compiles sigmoid weights.
COMPILED = ("softmax_weights", "1.1-entmax_weights", "capped_winners", "zero_background", "moments")


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
@pytest.mark.parametrize("name", COMPILED)
def test_the_family_compiles_to_one_graph(backend, name):
    import torch

    torch._dynamo.reset()
    x, y = (backend.asarray(SPARSE).requires_grad_() for _ in range(2))
    weighted = lambda x: (FUNCTIONS[name](x) ** 2).sum()  # noqa: E731
    torch.compile(weighted, fullgraph=True, backend="aot_eager")(x).backward()
    weighted(y).backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=64 * EPS["float64"] * 8)


@pytest.mark.parametrize("backend", backend_parameters(("jax",)))
@pytest.mark.parametrize(
    "name", ["softmax_weights", "1.1-entmax_weights", "capped_winners", "sigmoid_winners", "zero_background"]
)
def test_jaxs_own_checks_pass_to_second_order(backend, name):
    import jax
    from jax.test_util import check_grads

    check_grads(jax.jit(FUNCTIONS[name]), (backend.asarray(SPARSE),), order=2)


@pytest.mark.parametrize("backend", backend_parameters(("autograd",)))
@every_function
def test_autograds_own_checks_pass_to_second_order(backend, name):
    from autograd.test_util import check_grads

    check_grads(FUNCTIONS[name], modes=["fwd", "rev"], order=2)(SPARSE)


def adversarial_rows(rng, count, n):
    """Near ties, huge spreads, subnormal gaps, one survivor, all survive: mixed at random."""
    kind = rng.integers(6, size=(count, 1))
    base = rng.normal(size=(count, n))
    near_ties = np.round(base * 4) / 4 + rng.normal(size=(count, n)) * 10.0 ** rng.integers(-17, -1, size=(count, 1))
    spread = base * 10.0 ** rng.integers(-8, 9, size=(count, 1))
    subnormal = base * 5e-324 * 2.0 ** rng.integers(0, 60, size=(count, 1))
    survivor = np.where(np.arange(n) == rng.integers(n, size=(count, 1)), 1.0, -rng.random((count, n)) * 3)
    geometric = -(0.5 ** (np.arange(n) * rng.random((count, 1)) * 3))
    survivors = np.full((count, n), 2.5) + base * 1e-3
    return np.choose(kind, [near_ties, spread, subnormal, survivor, geometric, survivors])


@pytest.mark.parametrize(
    "relaxation",
    [
        *(f"alpha_{alpha}" for alpha in (1.000001, 1.01, 1.1, 4 / 3, 1.5, 1.75, 1.99, 2.0, 3.0)),
        "capped",
        "sigmoid",
        "subset",
    ],
)
def test_no_row_of_a_random_search_breaks_an_invariant(relaxation, monkeypatch, request):
    """3,000 rows for each relaxation: no sign, sum, order or convergence fails; the steps needed are printed."""
    rng = np.random.default_rng(len(relaxation))
    ops = anyargmax._frameworks.registry.select([np.zeros(1)])
    assert ops.name == adapter_of(ops.xp).name
    steps, iterate = [], ops.iterate

    def counting(advance, state, unrolled):
        steps.append(0)

        def counted(state):
            steps[-1] += 1
            return advance(state)

        state = iterate(counted, state, unrolled)
        assert not np.any(state[-1]), "not converged"
        return state

    monkeypatch.setattr(ops, "iterate", counting)
    for n in (2, 5, 40):
        x = adversarial_rows(rng, 1000, n)
        k = 1 if relaxation.startswith("alpha") else int(rng.integers(1, n + 1))
        if relaxation.startswith("alpha"):
            alpha = float(relaxation.removeprefix("alpha_"))
            p = soft_one_hot(x, alpha=alpha)
        else:
            p = soft_top_k(x, k, kind=relaxation)
        assert np.all(p >= 0)
        assert np.all(np.abs(p.sum(-1) - k) <= 4 * EPS["float64"] * k * TOLERANCE["value"] / 16)
        order = np.argsort(x, axis=-1)
        rises = np.diff(np.take_along_axis(p, order, -1), axis=-1)
        assert np.all(rises >= -4 * EPS["float64"]), "a larger score has less weight"
        if relaxation != "subset":  # whose weights are no function of a score and a threshold
            hold_optimality(x, p, k, relaxation)
    request.node.user_properties.append(
        ("steps", f"{relaxation}: at most {max(steps, default=0)} steps to the threshold")
    )


def hold_optimality(x, p, k, relaxation):
    """Scores minus the inverse of phi are one threshold on the support, and nothing off it lies above."""
    z = x - (np.max(x, axis=-1, keepdims=True) if k == 1 else np.sort(x, axis=-1)[:, [-k]])
    if relaxation.startswith("alpha"):
        a = float(relaxation.removeprefix("alpha_")) - 1
        inside, inverse = p > 1e-3, np.expm1(a * np.log(np.maximum(p, 1e-300))) / a
    elif relaxation == "capped":
        inside, inverse = (p > 1e-3) & (p < 1), p
    else:
        inside, inverse = (p > 1e-3) & (p < 0.999), np.log(np.maximum(p, 1e-300)) - np.log1p(-np.minimum(p, 1 - 1e-16))
    tau = np.where(inside, z - inverse, np.nan)
    some = inside.any(-1)
    low, high = np.nanmin(tau[some], axis=-1), np.nanmax(tau[some], axis=-1)
    slack = 1e-6 if relaxation == "alpha_3.0" else 1e-12 * (1 + np.abs(low))  # above 2 half of the digits
    assert np.all(high - low <= slack), np.max(high - low)
    if relaxation != "sigmoid":
        edge = -1 / a if relaxation.startswith("alpha") else 0.0
        outside = np.where(p == 0, z, -np.inf)[some].max(-1)
        assert np.all(outside <= low + max(edge, -700) + slack)
