"""What the library promises at the edges, on every framework: each test fails without its promise."""

import importlib
from functools import partial

import numpy as np
import pytest
from conftest import backend_parameters

import anyargmax
from anyargmax import (
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)
from anyargmax.validation.tolerance import EPS, dtype_name

INF, NAN = np.inf, np.nan
last = partial(soft_argmax, axis=-1)


def value(backend, f, x, dtype="float64"):
    return backend.to_numpy(f(backend.asarray(x, dtype)))


def gradient(backend, f, x, g, dtype="float64"):
    y, pullback = backend.vjp(f, backend.asarray(x, dtype))
    return backend.to_numpy(pullback(backend.asarray(g, dtype_name(y)))[0])


def masked(backend, f, mask, **options):
    return partial(f, mask=backend.asarray(mask), **options)


@pytest.mark.parametrize("poison", [1e30, NAN, INF, -INF], ids=["1e30", "NaN", "inf", "-inf"])
@pytest.mark.parametrize(
    "f",
    [last, soft_one_hot, partial(last, readout="median"), partial(last, hard=True)],
    ids=["position", "weights", "median", "hard"],
)
def test_a_masked_score_changes_nothing(anyargmax_backend, f, poison):
    x = np.asarray([[0.5, 2.0, 1.0, 1.5], [1.0, 0.0, 0.5, -1.0]])
    poisoned = np.where([[False, False, True, False], [True, False, False, False]], poison, x)
    mask = np.asarray([[True, True, False, True], [False, True, True, True]])
    f = masked(anyargmax_backend, f, mask)
    clean = value(anyargmax_backend, f, x)
    assert np.all(np.isfinite(clean))
    np.testing.assert_array_equal(value(anyargmax_backend, f, poisoned), clean)
    g = np.random.default_rng(1).normal(size=clean.shape)
    slopes = gradient(anyargmax_backend, f, poisoned, g)
    np.testing.assert_array_equal(slopes, gradient(anyargmax_backend, f, x, g))
    np.testing.assert_array_equal(slopes[~mask], 0)
    assert np.all(slopes[mask] != 0) or f.func is not soft_one_hot


@pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
@pytest.mark.parametrize("poison", [1e30, NAN, INF], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"alpha": 1.5}, {"zero_background": True}], ids=["soft", "sparse", "background"]
)
def test_a_masked_score_changes_no_derivative_by_the_temperature(backend, options, poison):
    x = np.asarray([[0.5, 2.0, 1.0, 1.5], [1.0, 0.25, 0.5, 3.0]])
    mask = np.asarray([[True, True, False, True], [False, True, True, True]])
    temperature, ones = backend.asarray([[0.5], [2.0]]), backend.asarray([[1.0], [1.0]])
    found = []
    for scores in (x, np.where(mask, x, poison)):
        f = lambda t, x=scores: last(backend.asarray(x), mask=backend.asarray(mask), temperature=t, **options)  # noqa: E731
        pulled = backend.vjp(f, temperature)[1](backend.asarray([1.0, -2.0]))[0]
        pushed = backend.jvp(f, (temperature,), (ones,))[1]
        found.append([backend.to_numpy(pulled)[:, 0], backend.to_numpy(pushed)])
    for clean, poisoned in zip(*found, strict=True):
        assert np.all(np.isfinite(clean) & (clean != 0))
        np.testing.assert_array_equal(poisoned, clean)


@pytest.mark.parametrize("how", ["mask", "-inf scores"])
def test_a_fully_masked_row_has_weights_0_position_nan_and_gradient_0(anyargmax_backend, how):
    x = np.asarray([[1.0, 2.0, 0.5], [3.0, NAN, 1e30], [0.0, 1.0, 2.0]])
    mask = np.asarray([[True] * 3, [False] * 3, [True] * 3])
    if how != "mask":
        x, mask = np.where(mask, x, -INF), np.ones_like(mask)
    weights, position = masked(anyargmax_backend, soft_one_hot, mask), masked(anyargmax_backend, last, mask)
    p = value(anyargmax_backend, weights, x)
    np.testing.assert_array_equal(p[1], 0)
    np.testing.assert_allclose(p[[0, 2]].sum(-1), 1, rtol=0, atol=4 * EPS["float64"])
    kinds = ({}, {"readout": "median"}, {"hard": True}, {"zero_background": True}, {"alpha": 1.5}, {"window": 1})
    for f in [partial(position, **options) for options in kinds]:
        y = value(anyargmax_backend, f, x)
        np.testing.assert_array_equal(np.isnan(y), [False, True, False])
        slopes = gradient(anyargmax_backend, f, x, np.asarray([1.0, NAN, 2.0]))
        np.testing.assert_array_equal(slopes[1], 0)
        assert np.all(np.isfinite(slopes))
    alone = gradient(anyargmax_backend, last, x[[0, 2]], np.asarray([1.0, 2.0]))
    np.testing.assert_allclose(
        gradient(anyargmax_backend, position, x, np.asarray([1.0, NAN, 2.0]))[[0, 2]],
        alone,
        rtol=0,
        atol=8 * EPS["float64"],
    )
    assert np.all(alone != 0)


def test_a_plus_inf_score_takes_the_limit_with_gradient_0(anyargmax_backend):
    x = np.asarray([[INF, 0.0, INF, 1.0], [0.0, 1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(value(anyargmax_backend, soft_one_hot, x)[0], [0.5, 0, 0.5, 0])
    np.testing.assert_array_equal(value(anyargmax_backend, last, x)[0], 1.0)
    slopes = gradient(anyargmax_backend, last, x, np.asarray([1.0, 1.0]))
    np.testing.assert_array_equal(slopes[0], 0)
    assert np.all(slopes[1] != 0)
    np.testing.assert_array_equal(value(anyargmax_backend, partial(last, hard=True), x), [0.0, 3.0])


@pytest.mark.parametrize(
    "f", [last, partial(last, readout="median"), partial(last, hard=True)], ids=["mean", "median", "hard"]
)
def test_nan_makes_its_own_row_nan_and_no_other(anyargmax_backend, f):
    x = np.asarray([[0.0, NAN, 1.0], [2.0, 1.0, 0.0]])
    y = value(anyargmax_backend, f, x)
    np.testing.assert_array_equal(np.isnan(y), [True, False])
    assert y[1] == value(anyargmax_backend, f, x[1:])[0]
    slopes = gradient(anyargmax_backend, last, x, np.asarray([1.0, 1.0]))
    assert np.all(np.isnan(slopes[0]))
    np.testing.assert_array_equal(slopes[1:], gradient(anyargmax_backend, last, x[1:], np.asarray([1.0])))


def test_the_median_of_ties_moves_only_with_more_than_half_of_the_weight(anyargmax_backend):
    """Where exactly half lies above an entry, the slope is that of less: 0."""
    f = partial(last, readout="median")
    for row, answer, slopes in (([0.0, 0.0], 0.0, [0.0, 0.0]), ([0.0] * 4, 0.5, [-0.375, 0.125, 0.125, 0.125])):
        x = np.asarray([row])
        np.testing.assert_array_equal(value(anyargmax_backend, f, x), [answer])
        np.testing.assert_allclose(
            gradient(anyargmax_backend, f, x, np.asarray([1.0])), [slopes], rtol=0, atol=4 * EPS["float64"]
        )


TIES = np.asarray([[1.0, 3.0, 3.0, 3.0], [2.0, 2.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -5.0, 4.0, 4.0]])


@pytest.mark.parametrize("axis", [0, 1, None])
def test_hard_is_exactly_the_frameworks_argmax(anyargmax_backend, axis):
    x = anyargmax_backend.asarray(TIES)
    theirs = anyargmax_backend.xp.argmax(x, axis=axis)
    ours = soft_argmax(x, axis=axis, hard=True, temperature=0.3)
    np.testing.assert_array_equal(
        anyargmax_backend.to_numpy(ours), np.asarray(anyargmax_backend.to_numpy(theirs), dtype=float)
    )
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(ours), np.argmax(TIES, axis=axis))


def test_hard_weights_are_exactly_one_hot_with_the_soft_gradient(backend_dtype, rng):
    backend, dtype = backend_dtype
    x = rng.normal(size=(4, 6))
    p = soft_one_hot(backend.asarray(x, dtype), hard=True)
    np.testing.assert_array_equal(
        backend.to_numpy(p), np.eye(6)[np.argmax(backend.to_numpy(backend.asarray(x, dtype)), axis=-1)]
    )
    g = rng.normal(size=x.shape)
    hard = gradient(backend, partial(soft_one_hot, hard=True), x, g, dtype)
    np.testing.assert_array_equal(hard, gradient(backend, soft_one_hot, x, g, dtype))


@pytest.mark.parametrize("options", [{}, {"window": 1}, {"alpha": 1.5}], ids=str)
def test_a_hard_minimum_of_floats_is_the_first_smallest(anyargmax_backend, options):
    x = np.asarray([[0.0, 3.0, 1.0, 4.0], [2.0, -1.5, 7.0, -1.5], [INF, 1.0, -INF, 0.0]])
    f = partial(soft_argmin, axis=-1, hard=True, **options)
    np.testing.assert_array_equal(value(anyargmax_backend, f, x), [0.0, 1.0, 2.0])


def test_a_window_of_the_minimum_is_around_the_smallest(anyargmax_backend):
    x = np.asarray([[0.0, 3.0, 1.0, 4.0, -0.5], [-1.5, 2.0, 7.0, 5.0, -1.0]])
    near = value(anyargmax_backend, partial(soft_argmin, axis=-1, window=1), x)
    expected = [value(anyargmax_backend, soft_argmin, x[0, 3:]) + 3, value(anyargmax_backend, soft_argmin, x[1, :2])]
    np.testing.assert_allclose(near, expected, rtol=0, atol=16 * EPS["float64"])


@pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
def test_trained_positions_of_a_hard_choice_have_the_soft_gradient(backend):
    x = np.asarray([0.0, 1.0, 2.0])
    for hard in (False, True):
        f = partial(soft_argmax, backend.asarray(x), hard=hard)
        y, pullback = backend.vjp(lambda c, f=f: f(positions=c), backend.asarray([3.0, -1.0, 0.5]))
        slopes = backend.to_numpy(pullback(backend.asarray(1.0))[0])
        np.testing.assert_allclose(slopes, value(backend, soft_one_hot, x), rtol=0, atol=4 * EPS["float64"])
    assert float(backend.to_numpy(y)) == 0.5


def test_hard_coordinates_are_those_of_the_first_largest_entry(anyargmax_backend):
    x = np.zeros((2, 3, 4))
    x[0, 1, 2] = x[0, 2, 0] = x[1, 2, 3] = 5.0
    f = partial(spatial_soft_argmax, hard=True, coordinates="corner")
    corner = np.asarray([[0.0, (2 * 2 - 3) / 3], [1.0, 1.0]])
    np.testing.assert_array_equal(value(anyargmax_backend, f, x), corner)


@pytest.mark.parametrize("index", [257, 2049, 4001])
def test_positions_are_exact_in_half_precision(backend_dtype, index):
    backend, dtype = backend_dtype
    x = np.zeros(4100)
    x[index] = 300.0
    assert value(backend, soft_argmax, x, dtype) == index
    assert value(backend, partial(soft_argmax, hard=True), x, dtype) == index


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [1e-30, 1e-42, 1e30])
def test_an_extreme_temperature_takes_its_limit(anyargmax_backend, dtype, temperature):
    x = np.asarray([[1.0, 3.0, 3.0, -2.0], [1e30, -1e30, 0.0, 5.0]])
    y = value(anyargmax_backend, partial(last, temperature=temperature), x, dtype)
    np.testing.assert_allclose(y, [1.5, 0.0] if temperature < 1 else [1.5, y[1]], rtol=0, atol=1e-6)
    slopes = gradient(anyargmax_backend, partial(last, temperature=temperature), x[1:], np.asarray([1.0]), dtype)
    assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_at_the_ends_of_the_range_do_not_overflow(anyargmax_backend, dtype):
    big = float(np.finfo(dtype).max)
    x = np.asarray([[big, -big, big], [-big, -big, -big]])
    np.testing.assert_array_equal(value(anyargmax_backend, last, x, dtype), [1.0, 1.0])
    assert np.all(np.isfinite(gradient(anyargmax_backend, last, x, np.asarray([1.0, 2.0]), dtype)))


def test_half_precision_holds_at_scores_of_minus_1000(backend_dtype):
    backend, dtype = backend_dtype
    x = np.asarray([[-1000.0, -1001.0, -1000.0], [-1000.0, -1000.0, -1000.0]])
    p = value(backend, soft_one_hot, x, dtype)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=0, atol=4 * EPS[dtype])
    assert np.all(np.isfinite(gradient(backend, last, x, np.asarray([1.0, 2.0]), dtype)))


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_integers_are_computed_in_the_default_float(anyargmax_backend, dtype):
    x = np.asarray([[3, 1, 0], [0, 2, 5]])
    y = last(anyargmax_backend.asarray(x, dtype))
    assert dtype_name(y) == anyargmax_backend.default_float
    np.testing.assert_allclose(
        anyargmax_backend.to_numpy(y),
        value(anyargmax_backend, last, x),
        rtol=0,
        atol=16 * EPS[anyargmax_backend.default_float],
    )
    low = soft_argmin(anyargmax_backend.asarray(x, dtype), axis=-1, hard=True)
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(low), [2.0, 0.0])


def test_hard_tells_integers_apart_that_the_float_cannot(anyargmax_backend):
    x = np.asarray([2**62, 2**62 + 1, 2**62 - 1])
    assert anyargmax_backend.to_numpy(soft_argmax(anyargmax_backend.asarray(x, "int64"), hard=True)) == 1
    assert anyargmax_backend.to_numpy(soft_argmin(anyargmax_backend.asarray(x, "int64"), hard=True)) == 2
    mask = anyargmax_backend.asarray(np.asarray([True, False, True]))
    assert anyargmax_backend.to_numpy(soft_argmax(anyargmax_backend.asarray(x, "int64"), hard=True, mask=mask)) == 0


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 4)])
def test_an_empty_batch_gives_an_empty_answer(anyargmax_backend, shape):
    x = np.zeros(shape)
    assert value(anyargmax_backend, last, x).shape == shape[:-1]
    assert gradient(anyargmax_backend, last, x, np.zeros(shape[:-1])).shape == shape


def test_a_scalar_is_an_array_of_one_entry(anyargmax_backend):
    assert value(anyargmax_backend, soft_argmax, np.asarray(3.0)) == 0


def test_temperature_divides(anyargmax_backend):
    x = np.asarray([[0.0, 1.0, 2.0]])
    np.testing.assert_array_equal(
        value(anyargmax_backend, partial(last, temperature=0.5), x), value(anyargmax_backend, last, 2 * x)
    )


@pytest.mark.parametrize("axis", [0, -1])
def test_a_temperature_array_is_broadcast_against_the_reduced_shape(anyargmax_backend, axis):
    x = np.random.default_rng(2).normal(size=(3, 3))
    temperature = np.asarray([0.25, 1.0, 4.0])
    shaped = np.expand_dims(temperature, axis)
    y = value(anyargmax_backend, partial(soft_argmax, axis=axis, temperature=anyargmax_backend.asarray(shaped)), x)
    rows = x if axis == -1 else x.T
    apart = [
        value(anyargmax_backend, partial(soft_argmax, temperature=float(t)), row)
        for t, row in zip(temperature, rows, strict=True)
    ]
    np.testing.assert_allclose(y, apart, rtol=0, atol=8 * EPS["float64"])


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize("option", ["temperature", "alpha"])
def test_an_array_of_one_number_goes_with_the_flattened_scores(anyargmax_backend, option, shape):
    x = np.random.default_rng(6).normal(size=(2, 3))
    with_array = partial(soft_argmax, **{option: anyargmax_backend.asarray(np.full(shape, 1.5))})
    y = value(anyargmax_backend, with_array, x)
    assert y.shape == ()
    np.testing.assert_allclose(
        y, value(anyargmax_backend, partial(soft_argmax, **{option: 1.5}), x.reshape(-1)), rtol=1e-14
    )


def test_positions_of_the_scores_shape_go_with_the_flattened_scores(anyargmax_backend):
    x, c = np.random.default_rng(7).normal(size=(2, 3, 4))
    flat = value(
        anyargmax_backend, partial(soft_argmax, positions=anyargmax_backend.asarray(c.reshape(-1))), x.reshape(-1)
    )
    for positions in (c, c.reshape(-1)):
        f = partial(soft_argmax, positions=anyargmax_backend.asarray(positions))
        np.testing.assert_allclose(value(anyargmax_backend, f, x), flat, rtol=0, atol=8 * EPS["float64"])


@pytest.mark.parametrize("shape", [(4, 3), (3, 1), (1, 4), (1, 12), (3,)], ids=str)
def test_positions_of_another_shape_do_not_go_with_the_flattened_scores(anyargmax_backend, shape):
    with pytest.raises(ValueError, match="`positions` must have shape"):
        soft_argmax(anyargmax_backend.asarray(np.zeros((3, 4))), positions=anyargmax_backend.asarray(np.zeros(shape)))


SMALL = {
    "float32": (-80.0, -95.0),
    "float64": (-100.0, -720.0),
}  # logarithms of a normal number, and of a subnormal one


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["alone", "masked", "mapped"])
def test_weights_are_0_below_the_smallest_normal_number_and_not_before(anyargmax_backend, how, dtype):
    normal, subnormal = SMALL[dtype]
    f = soft_one_hot
    if how == "masked":
        f = masked(anyargmax_backend, f, np.asarray([True, True, True, False]))
    elif how == "mapped":
        f = mapped(anyargmax_backend, f)
    p = value(anyargmax_backend, f, np.asarray([[0.0, normal, subnormal, -INF]]), dtype)[0].astype("float64")
    np.testing.assert_array_equal(p[[0, 2, 3]], [1, 0, 0])
    assert p[1] / np.exp(normal) == pytest.approx(1, abs=64 * EPS[dtype])


def mapped(backend, f):
    """The function of each row where the framework maps functions over rows, else of all of them."""
    module = {"torch": "torch.func", "torch-func": "torch.func", "jax": "jax"}.get(backend.name)
    return f if module is None else importlib.import_module(module).vmap(f)


@pytest.mark.parametrize(
    "f",
    [
        last,
        soft_one_hot,
        partial(last, alpha=1.5),
        partial(last, temperature=0.5, readout="median"),
        partial(last, zero_background=True),
        lambda x, mask: soft_top_k(x, 2, mask=mask),
    ],
    ids=["position", "weights", "sparse", "median", "background", "winners"],
)
def test_a_nan_in_the_tangent_of_a_masked_score_changes_nothing(anyargmax_backend, f):
    x = np.asarray([[0.5, 2.0, 1.0, 1.5], [1.0, 0.0, 0.5, 3.0]])
    t = np.asarray([[1.0, -0.5, 2.0, 0.25], [0.5, 1.5, -1.0, 2.0]])
    mask = np.asarray([[True, True, False, True], [False, True, True, True]])
    f = masked(anyargmax_backend, f, mask)
    (_, clean), (_, poisoned) = (
        anyargmax_backend.jvp(f, (anyargmax_backend.asarray(x),), (anyargmax_backend.asarray(direction),))
        for direction in (t, np.where(mask, t, NAN))
    )
    assert np.all(np.isfinite(anyargmax_backend.to_numpy(clean)))
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(poisoned), anyargmax_backend.to_numpy(clean))


def test_sharpen_is_the_repeated_power_and_normalise(anyargmax_backend, rng):
    p = rng.random((3, 5))
    expected = p
    for _ in range(2):
        expected = expected**3 / np.sum(expected**3, axis=-1, keepdims=True)
    actual = value(anyargmax_backend, partial(sharpen, power=3.0, rounds=2), p)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=32 * EPS["float64"])


def test_sharpen_survives_the_powers_of_the_seed(anyargmax_backend):
    p = np.asarray([[1e-300, 1e-300, 2e-300], [0.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    actual = value(anyargmax_backend, partial(sharpen, power=10.0, rounds=4), p)
    np.testing.assert_array_equal(actual, [[0, 0, 1], [0, 0, 0], [0.5, 0, 0.5]])


def test_the_seeds_layer_is_a_median_at_a_temperature(anyargmax_backend):
    """Softmax, then four rounds of the tenth power, then the token count of the seed: all in one call."""
    scores = np.asarray([[8.0, 8.0, 8.0, 9.0], [-11.0, -12.0, -12.0, -12.0], [0.0, 4.0, 1.0, 0.0]])
    p = np.exp(scores - scores.max(-1, keepdims=True))
    f = partial(last, temperature=10.0**-4, readout="median")
    np.testing.assert_array_equal(value(anyargmax_backend, f, np.log(p)), [3.0, 0.0, 1.0])


def test_a_view_and_a_strided_array_give_what_a_copy_gives(anyargmax_backend, rng):
    x = anyargmax_backend.asarray(rng.normal(size=(6, 8)))
    view = x[::2, 1:7:2]
    copy = anyargmax_backend.asarray(anyargmax_backend.to_numpy(view).copy())
    np.testing.assert_array_equal(
        anyargmax_backend.to_numpy(soft_argmax(view, axis=0)), anyargmax_backend.to_numpy(soft_argmax(copy, axis=0))
    )


def test_the_input_is_never_written_to(anyargmax_backend, rng):
    before = rng.normal(size=(3, 4))
    x = anyargmax_backend.asarray(before)
    _, pullback = anyargmax_backend.vjp(partial(last, hard=True, temperature=0.5), x)
    pullback(anyargmax_backend.asarray(np.ones(3)))
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(x), before)


def test_moments_are_those_of_the_weights(anyargmax_backend, rng):
    x = rng.normal(size=(4, 7))
    mean, variance = soft_argmax_moments(anyargmax_backend.asarray(x), axis=-1)
    p, c = value(anyargmax_backend, soft_one_hot, x), np.arange(7.0)
    np.testing.assert_allclose(anyargmax_backend.to_numpy(mean), p @ c, rtol=0, atol=32 * EPS["float64"])
    np.testing.assert_allclose(
        anyargmax_backend.to_numpy(variance), p @ c**2 - (p @ c) ** 2, rtol=0, atol=512 * EPS["float64"]
    )


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_what_torch_does_not_follow_has_no_gradient(backend):
    _, pullback = anyargmax.vjp(lambda x: 1.0 * backend.xp.argmax(x), backend.asarray([1.0, 2.0]))
    assert pullback(backend.asarray(1.0)) == (None,)


def test_extended_precision_and_a_temperature_beyond_the_range_do_not_fail():
    x = np.asarray([0.0, 1.0, 3.0])
    extended = soft_argmax(x.astype(np.longdouble))
    assert extended.dtype == np.longdouble
    np.testing.assert_allclose(extended, soft_argmax(x), rtol=1e-15)
    np.testing.assert_allclose(soft_one_hot(x.astype(np.float32), temperature=1e300), 1 / 3, rtol=1e-6)


def test_the_public_names_are_exactly_those_promised():
    promised = {"jvp", "register_backend", "sharpen", "soft_argmax", "soft_argmax_moments", "soft_argmin"}
    promised |= {
        "expectation",
        "spatial_expectation",
        "fenchel_young_loss",
        "soft_one_hot",
        "soft_top_k",
        "spatial_soft_argmax",
        "sampling",
        "straight_through",
        "vjp",
    }
    assert set(anyargmax.__all__) == promised
    assert all(getattr(anyargmax, name).__doc__ for name in anyargmax.__all__)


@pytest.mark.parametrize("options", [{}, {"readout": "median"}, {"alpha": 1.5}, {"hard": True}], ids=str)
def test_positions_of_another_dtype_leave_the_answer_that_of_the_scores(anyargmax_backend, options):
    """They are converted once: a product with them would be promoted."""
    x, c = np.asarray([[0.0, 1.0, 5.0], [3.0, 0.0, 0.0]]), np.asarray([0.5, 2.0, 4.0])
    wide = soft_argmax(
        anyargmax_backend.asarray(x, "float32"), axis=-1, positions=anyargmax_backend.asarray(c, "float64"), **options
    )
    same = soft_argmax(
        anyargmax_backend.asarray(x, "float32"), axis=-1, positions=anyargmax_backend.asarray(c, "float32"), **options
    )
    assert anyargmax_backend.to_numpy(wide).dtype == np.float32
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(wide), anyargmax_backend.to_numpy(same))
