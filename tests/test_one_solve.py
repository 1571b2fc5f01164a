"""The promise of weights and position from one solve: what is read out of the weights is the position of the scores."""

from functools import partial

import numpy as np
import pytest
from pullbacks import assert_all_close, direction_of, parts_of

from anyargmax import (
    expectation,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    spatial_expectation,
    spatial_soft_argmax,
)
from anyargmax.validation.tolerance import assert_close

READOUTS = ("mean", "median", "moments")
X = np.random.default_rng(1).normal(size=(4, 3, 5)) * 1.5
KEPT = np.random.default_rng(2).random(X.shape) < 0.7
KEPT[0] = True
KEPT[2] = False  # a map without any kept score
KEPT[3, 1] = False  # and a row
SOLVES = {
    "as they are": {},
    "at a temperature": {"temperature": 0.4},
    "at a temperature a map under a mask": {"temperature": np.asarray([0.5, 1, 2, 0.7])[:, None, None], "mask": KEPT},
}


def solves_of(readouts, most):
    """The means of all solves, and each other readout of one."""
    pairs = [(readout, most) for readout in readouts if readout != "mean"] + [("mean", solve) for solve in SOLVES]
    return [pytest.param(*pair, id="{}, {}".format(*pair)) for pair in pairs]


def assert_one_solve(backend, scores, read, at_once, options):
    """Hold ``read(soft_one_hot(x))`` against the function of scores, the gradient by two pullbacks in a row."""
    options = {k: backend.asarray(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    x = backend.asarray(scores)
    p, to_scores = backend.vjp(lambda x: soft_one_hot(x, **options), x)
    y, to_weights = backend.vjp(read, p)
    options.pop("axis")
    expected, pullback = backend.vjp(lambda x: at_once(x, **options), x)
    g = tuple(map(backend.asarray, direction_of(y)))
    g = g if isinstance(y, tuple) else g[0]
    assert_all_close(map(backend.to_numpy, parts_of(y)), map(backend.to_numpy, parts_of(expected)), "value")
    gradient, slope = to_scores(to_weights(g)[0])[0], pullback(g)[0]
    # A temperature below 1 divides the gradient.
    assert_close(0.4 * backend.to_numpy(gradient), 0.4 * backend.to_numpy(slope), "float64", "derivative")
    return [backend.to_numpy(part) for part in parts_of(y)], backend.to_numpy(gradient)


@pytest.mark.parametrize(("readout", "solve"), solves_of(READOUTS, "at a temperature a map under a mask"))
@pytest.mark.parametrize("alpha", [1, 1.5, 2], ids="of order {}".format)
def test_expectation_of_the_weights_is_the_soft_argmax(backend, alpha, readout, solve):
    at_once = soft_argmax_moments if readout == "moments" else partial(soft_argmax, readout=readout)
    values, gradient = assert_one_solve(
        backend,
        X,
        partial(expectation, axis=1, readout=readout),
        partial(at_once, axis=1),
        {"axis": 1, "alpha": alpha, **SOLVES[solve]},
    )
    if "mask" in SOLVES[solve]:
        assert all(np.isnan(y[2]).all() for y in values)
        assert not gradient[~KEPT].any()


@pytest.mark.parametrize(("readout", "solve"), solves_of([*READOUTS, "covariance"], "at a temperature"))
@pytest.mark.parametrize("alpha", [1, 1.5, 2], ids="of order {}".format)
def test_spatial_expectation_of_the_weights_is_the_spatial_soft_argmax(backend, alpha, readout, solve):
    how = {"axes": (2, 1), "coordinates": "center", "readout": readout}
    values, gradient = assert_one_solve(
        backend,
        X,
        partial(spatial_expectation, **how),
        partial(spatial_soft_argmax, **how),
        {"axis": (2, 1), "alpha": alpha, **SOLVES[solve]},
    )
    if "mask" in SOLVES[solve]:
        assert all(np.isnan(y[2]).all() and not np.isnan(y[[0, 1, 3]]).any() for y in values)
        assert not gradient[~KEPT].any()


@pytest.mark.parametrize("readout", READOUTS)
def test_expectation_of_the_weights_of_all_is_the_soft_argmax_of_the_flattened_array(backend, readout):
    at_once = soft_argmax_moments if readout == "moments" else partial(soft_argmax, readout=readout)
    read = partial(expectation, readout=readout, keepdims=True)
    assert_one_solve(backend, X[0], read, partial(at_once, keepdims=True), {"axis": None, "alpha": 1.5})


def test_expectation_at_positions_is_the_soft_argmax_at_those(backend):
    c = {"positions": backend.asarray(np.asarray([3.0, -1, 0.5])), "axis": 1}
    assert_one_solve(backend, X, partial(expectation, **c), partial(soft_argmax, **c), {"axis": 1, "alpha": 1.5})
