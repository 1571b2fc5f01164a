"""Logarithms of weights: finite where the weights are 0 for their size, and minus infinity where they are 0 by right."""

from functools import partial

import numpy as np
import pytest
from conftest import backend_parameters
from pullbacks import direction_of, pulled, pulled_twice

from anyargmax import soft_one_hot
from anyargmax.validation.tolerance import assert_close, dtype_name, round_to

INF, NAN = np.inf, np.nan
learning = pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "torch-func", "jax")))
of_each_order = pytest.mark.parametrize("alpha", [1, 1.5, 2], ids="of order {}".format)
log = partial(soft_one_hot, log=True)
X = np.random.default_rng(1).normal(size=(4, 5))


def sparse_logarithms(z):
    """``log p`` and p of sparsemax by its threshold, found by sorting."""
    ordered = -np.sort(-z)
    taus = (np.cumsum(ordered, axis=-1) - 1) / np.arange(1, z.shape[-1] + 1)
    p = np.clip(z - taus.max(-1, keepdims=True), 0, None)
    with np.errstate(divide="ignore"):
        return np.log(p), p


def test_logarithms_are_finite_where_the_softmax_is_0(backend):
    x = np.asarray([[0.0, 1e4, -1e4], [-1e4, 0.0, 1e4], [3e4, 1e4, 3e4]])
    assert (backend.to_numpy(soft_one_hot(backend.asarray(x))) == 0).any()
    values, (gradient,) = pulled(backend, log, backend.asarray(x))
    p = np.asarray([[0.0, 1, 0], [0, 0, 1], [0.5, 0, 0.5]])
    assert_close(values[0], x - x.max(-1, keepdims=True) - [[0], [0], [np.log(2)]], "float64", "value")
    g = direction_of(x)[0]
    assert_close(gradient, g - p * g.sum(-1, keepdims=True), "float64", "derivative")


def test_logarithms_of_a_low_temperature_are_those_of_scores_far_apart(backend):
    x = np.asarray([[0.0, 1.0, -1.0], [0.5, 0.25, 0.0]])
    values, (gradient,) = pulled(backend, partial(log, temperature=1e-4), backend.asarray(x))
    assert_close(values[0], (x - x.max(-1, keepdims=True)) / 1e-4, "float64", "value")
    g, first = direction_of(x)[0], x == x.max(-1, keepdims=True)
    assert_close(1e-4 * gradient, g - first * g.sum(-1, keepdims=True), "float64", "derivative")


@pytest.mark.parametrize("alpha", [1, 1.25, 1.5, 2, 3], ids="of order {}".format)
def test_exponentials_of_the_logarithms_are_the_weights(backend, alpha):
    for options in ({}, {"temperature": 0.5, "axis": 0}, {"axis": (0, 1)}):
        x = backend.asarray(X)
        p = backend.to_numpy(soft_one_hot(x, alpha=alpha, **options))
        y = backend.to_numpy(log(x, alpha=alpha, **options))
        assert_close(np.exp(y), p, "float64", "value")
        np.testing.assert_array_equal(y == -INF, p == 0)


def test_logarithms_off_the_support_are_minus_infinity_with_gradient_0(backend):
    x = np.asarray([[0.0, 0.25, 3.0, 2.5], [1.0, 1.25, 0.5, -4.0]])
    expected, p = sparse_logarithms(x)
    assert (p == 0).sum(-1).tolist() == [2, 2]
    values, (gradient,) = pulled(backend, partial(log, alpha=2), backend.asarray(x))
    np.testing.assert_array_equal(values[0] == -INF, p == 0)
    assert_close(values[0], expected, "float64", "value")
    b = np.where(p > 0, 1 / np.where(p > 0, p, 1), 0) * direction_of(x)[0]
    assert_close(
        gradient, (p > 0) * (b - b.sum(-1, keepdims=True) / (p > 0).sum(-1, keepdims=True)), "float64", "derivative"
    )
    assert not gradient[p == 0].any()


@of_each_order
@pytest.mark.parametrize("bad", [NAN, INF], ids="scores of {}".format)
def test_masked_logarithms_are_minus_infinity_with_gradient_0_and_show_nothing_of(backend, bad, alpha):
    keep = np.asarray([[True, False, True, True, True], [True] * 5, [False] * 5, [False, False, True, True, False]])
    f = partial(log, alpha=alpha, mask=backend.asarray(keep))
    values, (gradient,) = pulled(backend, f, backend.asarray(np.where(keep, X, bad)))
    assert (values[0][~keep] == -INF).all()
    assert not gradient[~keep].any()
    few = pulled(backend, partial(log, alpha=alpha), backend.asarray(X[:1, [0, 2, 3, 4]]))
    assert_close(values[0][0, [0, 2, 3, 4]], few[0][0][0], "float64", "value")
    assert np.isfinite(gradient).all()
    assert not gradient[2].any()


@of_each_order
def test_logarithms_of_a_row_of_nan_are_nan_and_leave_the_other_rows(backend, alpha):
    f, x = partial(log, alpha=alpha), X.copy()
    x[1, 3] = NAN
    values, (gradient,) = pulled(backend, f, backend.asarray(x))
    expected, (slope,) = pulled(backend, f, backend.asarray(X))
    assert np.isnan(values[0][1]).all()
    others = [0, 2, 3]
    assert_close(values[0][others], expected[0][others], "float64", "value")
    assert_close(gradient[others], slope[others], "float64", "derivative")


@learning
def test_second_derivatives_of_the_logarithms_of_a_softmax(backend):
    x = np.asarray([[0.0, 1e4, -1e4], [0.5, 0.0, 0.25]])
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    g, t = direction_of(x)[0], np.sin(np.arange(6)).reshape(2, 3)
    expected = -g.sum(-1, keepdims=True) * p * (t - (p * t).sum(-1, keepdims=True))
    assert_close(pulled_twice(backend, log, x), expected, "float64", "derivative")


@learning
def test_second_derivatives_of_the_logarithms_of_a_sparsemax(backend):
    x = np.asarray([[0.0, 0.25, 1.5, 1.25], [1.0, 1.25, 0.75, -4.0]])
    _, p = sparse_logarithms(x)
    inside = p > 0
    g, t = direction_of(x)[0], np.sin(np.arange(8)).reshape(2, 4)
    centred = lambda a: inside * (a - (inside * a).sum(-1, keepdims=True) / inside.sum(-1, keepdims=True))  # noqa: E731
    expected = -centred(inside * g * centred(t) / np.where(inside, p, 1) ** 2)
    scale = 1 / p[inside].min() ** 2
    assert_close(pulled_twice(backend, partial(log, alpha=2), x) / scale, expected / scale, "float64", "derivative")


@learning
@of_each_order
def test_second_derivatives_of_logarithms_under_a_mask_are_finite(backend, alpha):
    keep = np.ones(X.shape, dtype=bool)
    keep[0, 1] = False
    keep[2] = False
    curved = pulled_twice(backend, partial(log, alpha=alpha, mask=backend.asarray(keep)), np.where(keep, X, NAN))
    assert np.isfinite(curved).all()
    assert not curved[~keep].any()


def test_logarithms_have_the_dtype_of_the_scores(backend):
    for dtype in backend.dtypes:
        x = round_to(X, dtype)
        y = log(backend.asarray(x, dtype))
        assert dtype_name(y) == dtype
        wide = backend.to_numpy(log(backend.asarray(x, "float64")))
        assert_close(backend.to_numpy(y), wide, dtype, "value", stored=dtype)
    assert dtype_name(log(backend.asarray(np.asarray([1, 2]), "int32"))) == backend.default_float


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
@of_each_order
def test_vmap_has_the_logarithms_of_the_batch(backend, alpha):
    import torch

    x, f = torch.asarray(X), partial(log, alpha=alpha)
    assert_close(torch.func.vmap(f)(x).numpy(), f(x).numpy(), "float64", "value")


@pytest.mark.parametrize("backend", backend_parameters(("jax",)))
def test_hessians_of_logarithms_are_finite_where_weights_are_0(backend):
    import jax

    for alpha, x in ((1, [0.0, 1e4, -1e4]), (2, [0.0, 0.25, 3.0])):
        f = lambda x, alpha=alpha: log(x, alpha=alpha)[2 if alpha == 2 else 0]  # noqa: E731
        assert np.isfinite(np.asarray(jax.hessian(f)(backend.asarray(np.asarray(x))))).all()
