"""What must pass: arrays of NumPy in, arrays of NumPy out, and every option as it is documented."""

from typing import Any, Literal, assert_type

import numpy as np
from numpy.typing import NDArray

from anyargmax import (
    expectation,
    fenchel_young_loss,
    jvp,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_expectation,
    spatial_soft_argmax,
    vjp,
)

Floats = NDArray[np.float64]


def each_function(x: Floats, labels: NDArray[np.int64]) -> None:
    assert_type(soft_argmax(x), Floats)
    assert_type(soft_argmin(x, -1), Floats)
    assert_type(soft_argmax_moments(x, axis=-1), tuple[Floats, Floats])
    assert_type(soft_one_hot(x, axis=(0, 1), log=True), Floats)
    assert_type(soft_top_k(x, 2, kind="sigmoid"), Floats)
    assert_type(sharpen(x * x + 1, power=2, rounds=2), Floats)
    assert_type(fenchel_young_loss(x, labels, ignore_index=0), Floats)


def each_option(x: Floats) -> Floats:
    temperature, kept, places = np.ones(1, dtype=np.float32), x > -1, np.arange(4)
    soft_argmax(x, -1, temperature=temperature, alpha=np.float32(2), mask=kept, positions=places, keepdims=True)
    soft_argmax(x, -1, temperature=2, window=1, hard=True)
    soft_argmax(x, None, zero_background=False, readout="median")
    spatial_soft_argmax(x, (-1, -2), coordinates="center", window=(1, 2))
    return soft_argmax(x, axis=-1, temperature=0.5)


def each_readout(x: Floats, readout: Literal["mean", "median", "moments", "covariance"]) -> None:
    assert_type(spatial_soft_argmax(x, readout="median"), Floats)
    assert_type(spatial_soft_argmax(x, readout="moments"), tuple[Floats, Floats])
    assert_type(expectation(x, -1), Floats)
    assert_type(expectation(x, -1, readout="moments"), tuple[Floats, Floats])
    assert_type(spatial_expectation(x), Floats)
    assert_type(spatial_expectation(x, readout="covariance"), tuple[Floats, Floats])
    assert_type(spatial_expectation(x, readout=readout), Floats | tuple[Floats, Floats])


def derivatives(x: Floats) -> None:
    value, pullback = vjp(soft_argmax, x, axis=-1, temperature=0.5)
    assert_type(value, Floats)
    assert_type(pullback(np.ones_like(value)), tuple[Floats, ...])
    moments, _ = vjp(expectation, x, axis=-1, readout="moments")
    assert_type(moments, tuple[Floats, Floats])
    assert_type(jvp(soft_argmax, (x,), (x,)), tuple[Floats, Floats])


def number_of_axes_is_not_that_of_the_scores(x: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    row: np.ndarray[tuple[int], np.dtype[np.float64]] = soft_argmax(x, -1)
    table: np.ndarray[tuple[int, int], np.dtype[np.float64]] = soft_one_hot(x)
    assert row.ndim < table.ndim


def of_any_array(x: Any) -> None:
    assert_type(soft_argmax(x, -1, temperature=x[:, :1] + 1, mask=x > -1), Any)


def run() -> None:
    x = np.asarray([[0.0, 1.0, 5.0, 2.0], [3.0, 0.0, 0.5, 1.0]])
    each_function(x, np.asarray([0, 1]))
    each_option(x)
    each_readout(x, "mean")
    derivatives(x)
    number_of_axes_is_not_that_of_the_scores(x)
    of_any_array(x)
