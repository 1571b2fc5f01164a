"""Draws: what is chosen, how often, and what the estimators' gradients are the means of."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from conftest import backend_parameters
from pullbacks import direction_of, pulled, pulled_at_once

from anyargmax import soft_one_hot, straight_through
from anyargmax.sampling import conditional_gumbel, perturbed, sample_one_hot, sample_top_k
from anyargmax.validation.tolerance import EPS, TOLERANCE, assert_close

INF, NAN = np.inf, np.nan
ESTIMATORS = ("gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped")
SCORES = np.asarray([0.5, -1.0, 1.25, 0.0])
X = np.random.default_rng(1).normal(size=(3, 4))
NOISE = np.random.default_rng(2).gumbel(size=(2, 3, 4))
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
differentiating = pytest.mark.parametrize(
    "backend", backend_parameters(("autograd", "torch", "torch-func", "jax", "tensorflow"))
)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def jacobian(q):
    return np.diag(q) - np.outer(q, q)


def few(backend, options):
    """JAX compiles each anew, and Dask makes a graph of NumPy's operations for each: of several, the first two."""
    return options[:2] if backend.name in ("jax", "dask") else options


def choosing(entry, n=4):
    """Noise that makes an entry the choice, whatever scores of some units are."""
    return np.where(np.arange(n) == entry, 50.0, 0.0)


def draw(backend, noise, **options):
    """A draw as a function of the scores."""
    return partial(_draw, backend.asarray(noise), options)


def _draw(noise, options, x):
    return sample_one_hot(x, noise, **options)


def pulled_back(backend, x, noise, v, **options):
    """The cotangent of the scores, of one of the draw."""
    y, pullback = backend.vjp(draw(backend, noise, **options), x)
    return pullback(backend.asarray(np.broadcast_to(v, tuple(y.shape)).copy()))[0]


def gradient(backend, x, noise, v, **options):
    return backend.to_numpy(pulled_back(backend, backend.asarray(x), noise, v, **options))


def gradients(backend, x, noises, vs, **options):
    """Those of several draws of the same scores, which JAX compiles together."""

    def all_of_them(x):
        return [pulled_back(backend, x, noise, v, **options) for noise, v in zip(noises, vs, strict=True)]

    return [*map(backend.to_numpy, backend.compile(all_of_them)(backend.asarray(x)))]


@pytest.fixture
def numpy_backend():
    from anyargmax.validation import load

    return load("numpy")


# What is chosen.


@every_estimator
def test_the_value_is_the_one_hot_argmax_of_scores_and_noise(anyargmax_backend, estimator):
    """Whatever the temperature, in each draw; the noise that is averaged chooses by its first draw."""
    expected = np.eye(4)[np.argmax(X + NOISE, axis=-1)]
    expected = expected[0] if estimator == "gumbel-rao" else expected
    noise = anyargmax_backend.asarray(NOISE)
    for temperature in (1.0, 0.01, anyargmax_backend.asarray(np.asarray([[2.0], [0.5], [1.0]]))):
        y = sample_one_hot(anyargmax_backend.asarray(X), noise, temperature=temperature, estimator=estimator)
        assert np.array_equal(anyargmax_backend.to_numpy(y), expected)


def test_draws_have_the_frequencies_of_softmax(numpy_backend):
    """2e5 draws, within 5 standard errors; of x / t those of softmax(x / t)."""
    noise, p = np.random.default_rng(3).gumbel(size=(200_000, 4)), softmax(SCORES / 0.5)
    share = np.asarray(sample_one_hot(SCORES / 0.5, noise)).mean(axis=0)
    assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(noise)))
    assert np.max(np.abs(share - softmax(SCORES))) > 0.05


def test_noise_given_a_choice_has_the_law_of_noise_that_chose_it(numpy_backend):
    """Against draws of which those with that choice are kept: means and second moments within 5 standard errors."""
    rng, x = np.random.default_rng(4), SCORES[:3]
    free = rng.gumbel(size=(200_000, 3))
    kept = free[np.argmax(x + free, axis=1) == 1]
    given = np.asarray(conditional_gumbel(x, np.full(len(kept), 1), rng.gumbel(size=kept.shape)))
    for power in (1, 2):
        a, b = kept**power, given**power
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(kept))
        assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * error)
    assert np.array_equal(np.argmax(x + given, axis=1), np.full(len(kept), 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1000.0], ids="at scores of {}".format)
def test_noise_given_a_choice_is_finite_and_right(anyargmax_backend, scale, dtype):
    """The form ``-log(exp(-(x + g)) + exp(-top))`` overflows in float32 at a score of 100."""
    x, g = (scale * X).astype(dtype).astype("float64"), NOISE[0].astype(dtype).astype("float64")
    chosen = np.asarray([0, 3, 1])
    z = x - x.max(axis=1, keepdims=True)
    top = np.log(np.exp(z).sum(axis=1, keepdims=True)) + g[np.arange(3), chosen][:, None]
    expected = np.where(np.eye(4)[chosen] == 1, top - z, -np.logaddexp(-(z + g), -top) - z)
    got = conditional_gumbel(
        anyargmax_backend.asarray(x, dtype), anyargmax_backend.asarray(chosen), anyargmax_backend.asarray(g, dtype)
    )
    assert_close(anyargmax_backend.to_numpy(got).astype("float64"), expected, dtype, "value")


# What the gradients are the means of: each choice of n = 4 by its probability.


def mean_gradient(backend, cotangent, **options):
    """The mean of the gradients over the choices, each with the cotangent that the function has there."""
    p = softmax(SCORES)
    return sum(p[k] * gradient(backend, SCORES, choosing(k), cotangent(np.eye(4)[k]), **options) for k in range(4))


def test_straight_through_is_exact_for_linear_functions(anyargmax_backend):
    c = np.asarray([1.0, -2.0, 0.5, 3.0])
    found = mean_gradient(anyargmax_backend, lambda d: c, estimator="straight-through")
    assert_close(found, jacobian(softmax(SCORES)) @ c, "float64", "derivative")


def test_reinmax_is_exact_for_quadratic_functions_and_straight_through_is_not(anyargmax_backend):
    rng = np.random.default_rng(5)
    a, c = rng.normal(size=(4, 4)), rng.normal(size=4)
    a = a + a.T
    values = np.asarray([d @ a @ d / 2 + c @ d for d in np.eye(4)])
    expected = jacobian(softmax(SCORES)) @ values
    found = mean_gradient(anyargmax_backend, lambda d: a @ d + c, estimator="reinmax")
    assert_close(found, expected, "float64", "derivative")
    other = mean_gradient(anyargmax_backend, lambda d: a @ d + c, estimator="straight-through")
    assert np.max(np.abs(other - expected)) > 0.1


def test_draws_of_subsets_are_exact_for_linear_functions(anyargmax_backend):
    """Against the gradient of the mean over all six subsets of two: ``sum_S P(S) <c, S> (S - mean)``."""
    c = np.asarray([1.0, -2.0, 0.5, 3.0])
    subsets = np.asarray([np.eye(4)[[i, j]].sum(axis=0) for i, j in combinations(range(4), 2)])
    p = softmax(subsets @ SCORES)
    expected = (p * (subsets @ c)) @ (subsets - p @ subsets)
    for noise in (NOISE[0, 0], NOISE[1, 0]):
        g = anyargmax_backend.asarray(noise)
        f = lambda x, g=g: sample_top_k(x, 2, g)  # noqa: E731
        _, pullback = anyargmax_backend.vjp(f, anyargmax_backend.asarray(SCORES))
        found = anyargmax_backend.to_numpy(pullback(anyargmax_backend.asarray(c))[0])
        assert_close(found, expected, "float64", "derivative")


def test_the_averaged_gradient_has_the_mean_of_gumbel_softmax_and_less_variance(numpy_backend):
    """Of a function that is not linear, over 4,000 choices; the averaged one has 16 draws."""
    a = np.random.default_rng(6).normal(size=(4, 4))
    noise = np.random.default_rng(7).gumbel(size=(16, 4000, 4))
    x = np.broadcast_to(SCORES, (4000, 4)).copy()
    found = {}
    for name, g in (("gumbel", noise[0]), ("gumbel-rao", noise)):
        y, pullback = numpy_backend.vjp(draw(numpy_backend, g, temperature=0.5, estimator=name), x)
        found[name] = pullback(np.asarray(y) @ a)[0]
    once, averaged = found["gumbel"], found["gumbel-rao"]
    error = np.sqrt((once.var(axis=0) + averaged.var(axis=0)) / len(x))
    assert np.all(np.abs(once.mean(axis=0) - averaged.mean(axis=0)) < 5 * error)
    assert np.all(averaged.var(axis=0) < 0.8 * once.var(axis=0))


def test_an_averaged_gradient_of_one_draw_is_that_of_gumbel_softmax(anyargmax_backend):
    v, options = direction_of(X)[0], {"temperature": 0.5}
    once = gradient(anyargmax_backend, X, NOISE[0], v, **options)
    averaged = gradient(anyargmax_backend, X, NOISE[:1], v, estimator="gumbel-rao", **options)
    assert_close(averaged, once, "float64", "derivative")


def test_gumbel_softmax_at_a_low_temperature_is_less_biased_for_linear_functions(numpy_backend):
    c, x = np.asarray([1.0, -2.0, 0.5, 3.0]), np.broadcast_to(SCORES, (20_000, 4)).copy()
    expected = jacobian(softmax(SCORES)) @ c
    noise = np.random.default_rng(8).gumbel(size=x.shape)
    bias = {
        t: np.abs(gradient(numpy_backend, x, noise, c, temperature=t).mean(axis=0) - expected).max() for t in (2.0, 0.1)
    }
    assert bias[0.1] < bias[2.0] / 2
    assert bias[2.0] > 0.1


# Draws, shapes, noise that gets a gradient.


@every_estimator
def test_draws_are_leading_axes_of_the_noise(anyargmax_backend, estimator):
    """Each is what it is alone, and the gradient is the sum of theirs; the axis counts among those of the scores."""
    noise = NOISE if estimator != "gumbel-rao" else np.random.default_rng(9).gumbel(size=(3, 2, 3, 4))
    parts = [noise[:, k] if estimator == "gumbel-rao" else noise[k] for k in range(2)]
    for axis in few(anyargmax_backend, (0, -1, 1)):
        v = direction_of(NOISE)[0]
        options = {"axis": axis, "estimator": estimator, "temperature": 0.7}
        whole, *each = gradients(anyargmax_backend, X, (noise, *parts), (v, *v), **options)
        assert_close(whole, sum(each), "float64", "derivative")


@pytest.mark.parametrize(
    ("shape", "noise", "result"),
    [
        ((3, 4), (4,), (3, 4)),
        ((1, 4), (3, 4), (3, 4)),
        ((4,), (2, 3, 4), (2, 3, 4)),
        ((3, 1, 4), (2, 1, 5, 4), (2, 3, 5, 4)),
    ],
    ids=str,
)
def test_scores_and_noise_broadcast(anyargmax_backend, shape, noise, result):
    rng = np.random.default_rng(10)
    x, g = rng.normal(size=shape), rng.gumbel(size=noise)
    for estimator in few(anyargmax_backend, ("gumbel", "reinmax", "straight-through", "gapped"))[
        : 3 if len(shape) == 3 else 1
    ]:
        (value,), (found,) = pulled(
            anyargmax_backend, draw(anyargmax_backend, g, estimator=estimator), anyargmax_backend.asarray(x)
        )
        assert np.array_equal(value, np.eye(4)[np.argmax(x + g, axis=-1)])
        full, wide = np.broadcast_to(x, result).copy(), np.broadcast_to(g, result).copy()
        _, (spread,) = pulled(
            anyargmax_backend, draw(anyargmax_backend, wide, estimator=estimator), anyargmax_backend.asarray(full)
        )
        lead = len(result) - len(shape)
        summed = spread.sum(axis=tuple(range(lead)))
        short = tuple(k for k, n in enumerate(shape) if n == 1)
        assert_close(found, summed.sum(axis=short, keepdims=True) if short else summed, "float64", "derivative")


@differentiating
def test_the_noise_has_a_gradient_where_it_is_added_alone(backend):
    """The draws of Gumbel-softmax give it that of their own scores; all other estimators take it as constant."""
    for estimator in few(backend, ESTIMATORS):
        f = partial(sample_one_hot, temperature=0.5, estimator=estimator)
        _, (by_x, by_noise) = pulled(backend, f, backend.asarray(X), backend.asarray(NOISE))
        if estimator == "gumbel":
            assert_close(by_noise.sum(axis=0), by_x, "float64", "derivative")
            assert np.max(np.abs(by_noise)) > 0.01
        else:
            assert by_noise is None or not np.any(by_noise)


@differentiating
def test_noise_given_a_choice_has_the_gradients_of_differences(backend):
    chosen = backend.asarray(np.asarray([0, 3, 1]))
    f = lambda x, g: conditional_gumbel(x, chosen, g)  # noqa: E731
    values, gradients = pulled(backend, f, backend.asarray(X), backend.asarray(NOISE[0]))
    (v,) = direction_of(values[0])
    for k, (moved, found) in enumerate(zip((X, NOISE[0]), gradients, strict=True)):
        for index in ((0, 0), (0, 2), (1, 3), (2, 1), (2, 0)):
            ends = []
            for step in (1e-5, -1e-5):
                arrays = [X.copy(), NOISE[0].copy()]
                arrays[k][index] += step
                ends.append(backend.to_numpy(f(*map(backend.asarray, arrays))))
            assert abs(np.sum(v * (ends[0] - ends[1])) / 2e-5 - found[index]) < 1e-8
        assert found.shape == moved.shape


@differentiating
def test_a_temperature_gets_the_gradient_of_the_surrogate(backend):
    """Of ReinMax none, and as softmax weights give it for straight-through."""
    t = np.asarray([[0.5], [2.0], [1.0]])
    for estimator in few(backend, ("straight-through", "reinmax", "gumbel", "gumbel-rao", "gapped")):
        noise = backend.asarray(NOISE)
        f = lambda x, t, n=noise, e=estimator: sample_one_hot(x, n, temperature=t, estimator=e)  # noqa: E731
        _, (_, found) = pulled(backend, f, backend.asarray(X), backend.asarray(t))
        if estimator == "reinmax":
            assert found is None or not np.any(found)
            continue
        assert found.shape == t.shape
        assert np.all(np.abs(found) > 1e-4)
        if estimator == "straight-through":
            soft = lambda x, t: soft_one_hot(x, temperature=t)  # noqa: E731
            _, pullback = backend.vjp(soft, backend.asarray(X), backend.asarray(t))
            expected = backend.to_numpy(pullback(backend.asarray(direction_of(NOISE)[0].sum(axis=0)))[1])
            assert_close(found, expected, "float64", "derivative")


# Edges.


@every_estimator
def test_a_masked_score_is_never_chosen_and_moves_nothing(anyargmax_backend, estimator):
    x = X.copy()
    x[0, 1], x[1, 2], x[2, :] = -INF, NAN, 0.0
    mask = np.ones(x.shape, dtype=bool)
    mask[1, 2], mask[2, :] = False, False
    noise = NOISE.copy()
    noise[:, 0, 1] = noise[:, 1, 2] = INF
    f = draw(anyargmax_backend, noise, estimator=estimator, mask=anyargmax_backend.asarray(mask))
    (value,), (found,) = pulled(anyargmax_backend, f, anyargmax_backend.asarray(x))
    alive = mask & (x != -INF)
    assert np.array_equal(value.sum(axis=-1), np.broadcast_to(alive.any(axis=-1), value.shape[:-1]))
    assert not np.any(value[..., ~alive])
    assert not np.any(found[~alive])
    assert np.all(np.isfinite(found))
    assert np.all(found[:2][alive[:2]] != 0)


@every_estimator
def test_a_nan_blanks_its_own_row(anyargmax_backend, estimator):
    for at in ("scores", "noise"):
        x, noise = X.copy(), NOISE.copy()
        (x if at == "scores" else noise)[..., 1, 2] = NAN
        f = draw(anyargmax_backend, noise, estimator=estimator)
        (value,), (found,) = pulled(anyargmax_backend, f, anyargmax_backend.asarray(x))
        assert at == "noise" or np.all(np.isnan(found[1]))
        assert np.all(np.isfinite(found[[0, 2]]))
        assert np.all(np.isnan(value[..., 1, :]))
        assert np.array_equal(value[..., 0, :].sum(axis=-1), np.ones(value.shape[:-2]))


@every_estimator
def test_infinite_scores_share_the_draws_with_gradient_0(anyargmax_backend, estimator):
    x = X.copy()
    x[1, [0, 2]] = INF
    f = draw(anyargmax_backend, NOISE, estimator=estimator)
    (value,), (found,) = pulled(anyargmax_backend, f, anyargmax_backend.asarray(x))
    chosen = np.where(NOISE[:, 1, 0] >= NOISE[:, 1, 2], 0, 2)
    chosen = chosen[:1] if estimator == "gumbel-rao" else chosen
    assert np.array_equal(np.argmax(value[..., 1, :], axis=-1), chosen if value.ndim == 3 else chosen[0])
    assert not np.any(found[1])
    assert np.all(found[[0, 2]] != 0)


def test_infinite_noise_wins_with_gradient_0(anyargmax_backend):
    noise = NOISE[0].copy()
    noise[1, 3] = INF
    (value,), (found,) = pulled(anyargmax_backend, draw(anyargmax_backend, noise), anyargmax_backend.asarray(X))
    assert np.array_equal(value[1], np.eye(4)[3])
    assert not np.any(found[1])


@every_estimator
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_shift_of_large_scores_costs_nothing(anyargmax_backend, estimator, dtype):
    """Scores of 1000 and more, in multiples of 1/16, which every dtype holds."""
    x = np.round(16 * X) / 16
    noise, options = np.round(64 * NOISE) / 64, {"estimator": estimator, "temperature": 0.5}
    v = direction_of(NOISE)[0]
    near, far = (
        _gradient_in(anyargmax_backend, dtype, x + shift, noise, v[0] if estimator == "gumbel-rao" else v, options)
        for shift in (0.0, 1024.0)
    )
    assert_close(far, near, dtype, "derivative")


def _gradient_in(backend, dtype, x, noise, v, options):
    noise = backend.asarray(noise, dtype)
    _, pullback = backend.vjp(lambda x: sample_one_hot(x, noise, **options), backend.asarray(x, dtype))
    return backend.to_numpy(pullback(backend.asarray(v, dtype))[0]).astype("float64")


def test_a_choice_that_is_none_gives_nan(anyargmax_backend):
    """An index out of range, also one that 32 bits would wrap to one in range, and a one-hot array with a NaN."""
    x, g = (anyargmax_backend.asarray(a) for a in (X, NOISE[0]))
    for chosen in (
        np.asarray([0, 4, -1]),
        np.asarray([0, 2**32 + 1, 7]),
        np.asarray([[1.0, 0, 0, 0], [NAN, 0, 0, 0], [0, 0, 0, 0]]),
    ):
        y = anyargmax_backend.to_numpy(conditional_gumbel(x, anyargmax_backend.asarray(chosen), g))
        assert np.all(np.isfinite(y[0]))
        assert np.all(np.isnan(y[1:]))


def test_half_precision_scores_are_perturbed_in_float32(anyargmax_backend):
    """Noise of float32 is not rounded to theirs, in which many sums would tie; the answer comes in their dtype."""
    for dtype in {"float16", "bfloat16"} & set(anyargmax_backend.dtypes):
        x = anyargmax_backend.asarray(np.zeros(4), dtype)
        noise = anyargmax_backend.asarray(1.0 + 2.0**-18 * np.asarray([0.0, 1.0, 3.0, 2.0]), "float32")
        y = sample_one_hot(x, noise)
        assert y.dtype == x.dtype
        assert np.array_equal(np.asarray(anyargmax_backend.to_numpy(y), "float64"), np.eye(4)[2])


def test_integers_and_empty_batches_are_drawn_of(anyargmax_backend):
    x, noise = np.asarray([[0, 3, 1], [2, 0, 0]]), np.zeros((2, 3))
    y = sample_one_hot(anyargmax_backend.asarray(x), anyargmax_backend.asarray(noise))
    assert np.array_equal(anyargmax_backend.to_numpy(y), [[0, 1, 0], [1, 0, 0]])
    empty = sample_one_hot(anyargmax_backend.asarray(np.zeros((0, 3))), anyargmax_backend.asarray(np.zeros((2, 0, 3))))
    assert tuple(empty.shape) == (2, 0, 3)


# Functions of perturbed scores.


def largest(x):
    return soft_one_hot(x, axis=None, hard=True)


@pytest.mark.parametrize("distribution", ["gumbel", "normal"])
@pytest.mark.parametrize("baseline", ["mean", "center", None])
def test_the_gradient_of_a_perturbed_function_is_the_published_one(anyargmax_backend, distribution, baseline):
    rng = np.random.default_rng(11)
    z = rng.gumbel(size=(7, 4)) if distribution == "gumbel" else rng.normal(size=(7, 4))
    y = np.eye(4)[np.argmax(SCORES + 0.5 * z, axis=-1)]
    less = {"mean": (y.sum(axis=0) - y) / 6, "center": np.eye(4)[2] + 0 * y, None: 0 * y}[baseline]
    nu = z if distribution == "normal" else 1 - np.exp(-z)
    noise, options = anyargmax_backend.asarray(z), {"scale": 0.5, "distribution": distribution, "baseline": baseline}
    f = lambda x: perturbed(largest, x, noise, **options)  # noqa: E731
    (value,), (found,) = pulled_at_once(anyargmax_backend, f, anyargmax_backend.asarray(SCORES))
    assert_close(value, y.mean(axis=0), "float64", "value")
    assert_close(found, direction_of(value)[0] @ ((y - less).T @ nu) / (7 * 0.5), "float64", "derivative")


def test_leaving_one_out_varies_least(numpy_backend):
    """Of 100 estimates of the Jacobian from 10 draws each, whose means are the exact one."""
    noise, exact, deviations = np.random.default_rng(12).gumbel(size=(100, 10, 4)), jacobian(softmax(SCORES)), {}
    for baseline in (None, "center", "mean"):
        found = np.asarray([[pulled_row(numpy_backend, k, g, baseline) for k in range(4)] for g in noise])
        assert np.all(np.abs(found.mean(axis=0) - exact) < 5 * np.sqrt(found.var(axis=0) / len(found)))
        deviations[baseline] = np.sqrt(found.var(axis=0).sum())
    assert deviations["mean"] < 0.9 * deviations[None]
    assert deviations["mean"] < 0.9 * deviations["center"]


def pulled_row(backend, k, noise, baseline):
    """A row of the Jacobian of the mean one-hot argmax."""
    _, pullback = backend.vjp(lambda x: perturbed(largest, x, noise, baseline=baseline), SCORES)
    return pullback(np.eye(4)[k])[0]


@differentiating
def test_a_scale_of_noise_has_the_gradient_of_its_density(backend):
    """``mean (y - b) (z nu - 1) / scale``, an entry at a time."""
    rng = np.random.default_rng(13)
    z, scale = rng.gumbel(size=(6, 4)), np.asarray([0.5, 1.0, 2.0, 0.25])
    y = np.eye(4)[np.argmax(SCORES + scale * z, axis=-1)]
    noise = backend.asarray(z)
    f = lambda x, s: perturbed(largest, x, noise, scale=s, baseline=None)  # noqa: E731
    (value,), (_, found) = pulled_at_once(backend, f, backend.asarray(SCORES), backend.asarray(scale))
    change = (z * (1 - np.exp(-z)) - 1) / scale
    assert_close(found, (y @ direction_of(value)[0]) @ change / 6, "float64", "derivative")


@differentiating
def test_what_else_a_perturbed_function_depends_on_gets_its_own_gradient(backend):
    noise = backend.asarray(NOISE[:, 0])
    w = np.asarray([1.0, 2.0, 3.0, 4.0])
    f = lambda w: perturbed(lambda x: largest(x) * w, backend.asarray(SCORES), noise)  # noqa: E731
    (value,), (found,) = pulled_at_once(backend, f, backend.asarray(w))
    share = np.eye(4)[np.argmax(SCORES + NOISE[:, 0], axis=-1)].mean(axis=0)
    assert_close(value, share * w, "float64", "value")
    assert_close(found, share * direction_of(value)[0], "float64", "derivative")


def test_an_infinite_score_of_a_perturbed_function_has_gradient_0(anyargmax_backend):
    x = np.asarray([0.5, -INF, 1.25, 0.0])
    noise = anyargmax_backend.asarray(np.random.default_rng(14).normal(size=(8, 4)))
    f = lambda x: perturbed(largest, x, noise, distribution="normal")  # noqa: E731
    (value,), (found,) = pulled_at_once(anyargmax_backend, f, anyargmax_backend.asarray(x))
    assert value[1] == 0
    assert found[1] == 0
    assert np.all(np.isfinite(found))
    assert np.any(found != 0)


def test_an_answer_that_is_not_finite_shows_in_value_and_gradient(anyargmax_backend):
    """A gradient of 0 would hide it."""
    bad = anyargmax_backend.asarray(np.asarray([NAN, 1.0]))
    noise = anyargmax_backend.asarray(NOISE[0])
    for baseline in ("mean", None):
        f = lambda x, b=baseline: perturbed(lambda x: bad * x[0], x, noise, baseline=b)  # noqa: E731
        (value,), (found,) = pulled(anyargmax_backend, f, anyargmax_backend.asarray(SCORES))
        assert np.isnan(value[0])
        assert np.isfinite(value[1])
        assert np.all(np.isnan(found))


def test_a_function_that_writes_into_its_argument_leaves_the_scores():
    def sort(x):
        x.sort()
        return x

    x = SCORES.copy()
    perturbed(sort, x, NOISE[0], baseline="center")
    assert np.array_equal(x, SCORES)


# A value with another gradient.


def test_straight_through_is_exactly_the_value_with_the_other_gradient(anyargmax_backend):
    """``y + detach(value - y)`` is rounded: here to 0.30000000000000004."""
    y = np.asarray([0.1, 1e30, -INF, 5.0])
    value = np.asarray([0.3, 1.0, 7.0, -2.0])
    f = lambda y: straight_through(anyargmax_backend.asarray(value), y)  # noqa: E731
    (found,), (g,) = pulled(anyargmax_backend, f, anyargmax_backend.asarray(y))
    assert np.array_equal(found, value)
    assert np.array_equal(g, direction_of(found)[0] * np.asarray([1, 1, 0, 1]))


@differentiating
def test_the_value_of_straight_through_gets_no_gradient(backend):
    _, (by_value, by_surrogate) = pulled(backend, straight_through, backend.asarray(X), backend.asarray(2 * X))
    assert by_value is None or not np.any(by_value)
    assert np.array_equal(by_surrogate, direction_of(X)[0])


def test_integers_and_booleans_become_the_dtype_of_the_surrogate(anyargmax_backend):
    y = anyargmax_backend.asarray(X, "float32")
    for value in (np.arange(12).reshape(3, 4), np.arange(12).reshape(3, 4) > 5):
        found = straight_through(anyargmax_backend.asarray(value), y)
        assert found.dtype == y.dtype
        assert np.array_equal(anyargmax_backend.to_numpy(found), value)


def test_the_same_noise_gives_the_same_answer_in_every_framework(anyargmax_backend, numpy_backend):
    for estimator in ESTIMATORS:
        v = direction_of(NOISE)[0]
        v = v[0] if estimator == "gumbel-rao" else v
        for dtype in ("float32", "float64"):
            options = {"estimator": estimator, "temperature": 0.5}
            ours = _gradient_in(anyargmax_backend, dtype, X, NOISE, v, options)
            numpys = _gradient_in(numpy_backend, dtype, X, NOISE, v, options)
            assert np.max(np.abs(ours - numpys)) <= TOLERANCE["value"] * EPS[dtype] * max(1, np.max(np.abs(numpys)))
