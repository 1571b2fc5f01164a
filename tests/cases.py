"""The calls of the matrix: every public function with every option, and the oracle's answer to each."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from conftest import COMPUTED_IN, EPS, TOLERANCE

import anyargmax
from anyargmax.validation import oracle


class Case(NamedTuple):
    """A call: the function, its options, and which options are arrays (by the name of a maker)."""

    id: str
    function: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    arrays: dict[str, np.ndarray]


def _mask(shape):
    mask = np.random.default_rng(5).random(shape) < 0.6
    mask[(0,) * len(shape)] = True
    return mask


ROWS = np.asarray([[0.25], [1.5], [3.0]])
ORDERS = np.asarray([[1.0], [1.25], [1.5], [2.0]])
SHARES = np.asarray([[0.5, 0.0, 0.125], [0.25, 0.0, 0.25], [0.0, 1.0, 0.125], [0.125, 0.0, 0.5], [0.125, 0.0, 0.0]])
BINS = np.asarray([-2.0, -0.5, 0.0, 3.0, 8.0])
CASES = [
    Case("position along the last axis", "soft_argmax", (3, 5), {"axis": -1}, {}),
    Case("position along the first axis", "soft_argmax", (5, 3), {"axis": 0}, {}),
    Case("position along a middle axis", "soft_argmax", (2, 4, 2), {"axis": 1}, {}),
    Case("position in the flattened array", "soft_argmax", (2, 5), {}, {}),
    Case("position in the flattened array with the axes kept", "soft_argmax", (2, 5), {"keepdims": True}, {}),
    Case("position with the axis kept", "soft_argmax", (5, 2), {"axis": 0, "keepdims": True}, {}),
    Case("position of one entry", "soft_argmax", (3, 1), {"axis": -1}, {}),
    Case("position at a temperature", "soft_argmax", (3, 5), {"axis": -1, "temperature": 0.25}, {}),
    Case("position at a temperature a row", "soft_argmax", (3, 5), {"axis": -1}, {"temperature": ROWS}),
    Case("position under a mask", "soft_argmax", (3, 5), {"axis": -1}, {"mask": _mask((3, 5))}),
    Case("position under a mask of the columns", "soft_argmax", (3, 5), {"axis": -1}, {"mask": _mask((5,))}),
    Case("position in the flattened masked array", "soft_argmax", (3, 4), {}, {"mask": _mask((3, 4))}),
    Case("position among given bins", "soft_argmax", (3, 5), {"axis": -1}, {"positions": BINS}),
    Case("position among bins along the first axis", "soft_argmax", (5, 3), {"axis": 0}, {"positions": BINS}),
    Case("position among bins of each row", "soft_argmax", (2, 5), {"axis": -1}, {"positions": np.stack([BINS, 3 - BINS])}),
    Case("median position", "soft_argmax", (4, 6), {"axis": -1, "readout": "median"}, {}),
    Case("median position at a temperature", "soft_argmax", (6, 4), {"axis": 0, "readout": "median", "temperature": 0.5}, {}),
    Case("median among given bins", "soft_argmax", (4, 5), {"axis": -1, "readout": "median"}, {"positions": BINS}),
    Case("median in the flattened masked array", "soft_argmax", (2, 5), {"readout": "median"}, {"mask": _mask((2, 5))}),
    Case("position of the minimum", "soft_argmin", (3, 5), {"axis": -1, "temperature": 0.5}, {}),
    Case("position of the minimum in the flattened array", "soft_argmin", (3, 3), {}, {}),
    Case("mean and variance", "soft_argmax_moments", (3, 5), {"axis": -1, "temperature": 0.5}, {}),
    Case("mean and variance with the axis kept", "soft_argmax_moments", (5, 3), {"axis": 0, "keepdims": True}, {}),
    Case("mean and variance among bins under a mask", "soft_argmax_moments", (3, 5), {"axis": 1}, {"positions": BINS, "mask": _mask((3, 5))}),
    Case("weights along the last axis", "soft_one_hot", (3, 5), {}, {}),
    Case("weights along the first axis", "soft_one_hot", (5, 3), {"axis": 0, "temperature": 0.5}, {}),
    Case("weights over two axes", "soft_one_hot", (2, 3, 2), {"axis": (0, 2)}, {}),
    Case("weights over all axes under a mask", "soft_one_hot", (3, 4), {"axis": None}, {"mask": _mask((3, 4))}),
    Case("weights at a temperature a row", "soft_one_hot", (3, 5), {}, {"temperature": ROWS}),
    Case("coordinates in a map", "spatial_soft_argmax", (2, 3, 4), {}, {}),
    Case("coordinates from corner to corner", "spatial_soft_argmax", (2, 3, 4), {"coordinates": "corner"}, {}),
    Case("coordinates of cell centers", "spatial_soft_argmax", (3, 1, 4), {"coordinates": "center", "axes": (0, 2)}, {}),
    Case("coordinates with the axes swapped", "spatial_soft_argmax", (4, 3), {"axes": (1, 0), "temperature": 0.5}, {}),
    Case("coordinates along three axes under a mask", "spatial_soft_argmax", (2, 3, 2), {"axes": (0, 1, 2)}, {"mask": _mask((2, 3, 2))}),
    Case("median coordinates", "spatial_soft_argmax", (3, 4), {"readout": "median", "temperature": 0.25}, {}),
    Case("sparsemax weights", "soft_one_hot", (3, 5), {"alpha": 2}, {}),
    Case("sparsemax weights over all axes at a temperature", "soft_one_hot", (2, 4), {"axis": None, "alpha": 2, "temperature": 2.0}, {}),
    Case("1.5-entmax weights", "soft_one_hot", (4, 6), {"alpha": 1.5}, {}),
    Case("1.5-entmax weights under a mask", "soft_one_hot", (5, 4), {"alpha": 1.5, "axis": 0}, {"mask": _mask((5, 4))}),
    Case("4/3-entmax weights", "soft_one_hot", (4, 6), {"alpha": 4 / 3}, {}),
    Case("1.1-entmax weights at a temperature a row", "soft_one_hot", (3, 5), {"alpha": 1.1}, {"temperature": ROWS}),
    Case("entmax weights near softmax", "soft_one_hot", (3, 5), {"alpha": 1 + 2.0**-20}, {}),
    Case("1.75-entmax weights", "soft_one_hot", (3, 5), {"alpha": 1.75}, {}),
    Case("entmax weights of an order a row", "soft_one_hot", (4, 5), {}, {"alpha": ORDERS}),
    Case("sparsemax position", "soft_argmax", (3, 5), {"axis": -1, "alpha": 2, "temperature": 2.0}, {}),
    Case("1.5-entmax position of the minimum", "soft_argmin", (3, 5), {"axis": -1, "alpha": 1.5}, {}),
    Case("entmax position of an order a row", "soft_argmax", (4, 5), {"axis": -1}, {"alpha": ORDERS, "mask": _mask((4, 5))}),
    Case("1.5-entmax median", "soft_argmax", (4, 5), {"axis": -1, "alpha": 1.5, "readout": "median"}, {}),
    Case("1.25-entmax mean and variance", "soft_argmax_moments", (3, 5), {"axis": -1, "alpha": 1.25}, {}),
    Case("1.5-entmax coordinates", "spatial_soft_argmax", (2, 3, 4), {"alpha": 1.5}, {}),
    Case("mean and variance of coordinates", "spatial_soft_argmax", (2, 3, 4), {"readout": "moments", "coordinates": "corner"}, {}),
    Case("capped weights of one winner", "soft_top_k", (3, 5), {"k": 1}, {}),
    Case("capped weights of two winners", "soft_top_k", (3, 6), {"k": 2, "temperature": 3.0}, {}),
    Case("capped weights of three winners under a mask", "soft_top_k", (6, 4), {"k": 3, "axis": 0}, {"mask": _mask((6, 4))}),
    Case("capped weights of all", "soft_top_k", (2, 4), {"k": 4}, {}),
    Case("sigmoid weights of two winners", "soft_top_k", (3, 6), {"k": 2, "kind": "sigmoid"}, {}),
    Case("sigmoid weights of four winners at a temperature a row", "soft_top_k", (3, 6), {"k": 4, "kind": "sigmoid"}, {"temperature": ROWS}),
    Case("position within a window", "soft_argmax", (4, 7), {"axis": -1, "window": 1}, {}),
    Case("1.5-entmax position within a window under a mask", "soft_argmax", (7, 3), {"axis": 0, "window": 2, "alpha": 1.5}, {"mask": _mask((7, 3))}),
    Case("coordinates within a window", "spatial_soft_argmax", (2, 4, 5), {"window": (1, 2)}, {}),
    Case("mean and variance within a window", "soft_argmax_moments", (3, 7), {"axis": -1, "window": 2}, {}),
    Case("position on a zero background", "soft_argmax", (3, 6), {"axis": -1, "zero_background": True, "temperature": 0.5}, {}),
    Case("position on a masked zero background at a temperature a row", "soft_argmax", (3, 6), {"axis": -1, "zero_background": True}, {"temperature": ROWS, "mask": _mask((3, 6))}),
    Case("coordinates on a zero background", "spatial_soft_argmax", (2, 3, 4), {"zero_background": True, "coordinates": "center"}, {}),
    Case("cross-entropy of indices", "fenchel_young_loss", (3, 5), {}, {"target": np.asarray([0, 4, 2])}),
    Case("cross-entropy of weights at a temperature", "fenchel_young_loss", (5, 3), {"axis": 0, "temperature": 0.5}, {"target": SHARES}),
    Case("sparsemax loss of weights", "fenchel_young_loss", (5, 3), {"axis": 0, "alpha": 2}, {"target": SHARES}),
    Case("1.5-entmax loss of indices", "fenchel_young_loss", (3, 5), {"alpha": 1.5}, {"target": np.asarray([1, 1, 3])}),
    Case("sharpened weights", "sharpen", (3, 5), {"power": 3.0, "rounds": 2}, {}),
    Case("normalised weights along the first axis", "sharpen", (5, 3), {"rounds": 0, "axis": 0}, {}),
]  # fmt: skip


def scores(case: Case, dtype: str) -> np.ndarray:
    """Scores of the case, rounded to a dtype and given as float64; weights for `sharpen`."""
    rng = np.random.default_rng(sum(case.id.encode()))
    x = 2 * rng.normal(size=case.shape)
    if case.function == "sharpen":
        x = rng.random(case.shape)
        x[(0,) * x.ndim] = 0
    if case.options.get("zero_background"):
        x = np.abs(x) * (rng.random(case.shape) < 0.7)
    return round_to(x, dtype)


def round_to(x, dtype: str) -> np.ndarray:
    """Round to the values of a dtype (bfloat16 by cutting the significand of float32), as float64."""
    if dtype != "bfloat16":
        return np.asarray(x).astype(dtype).astype("float64")
    bits = np.asarray(x, dtype="float32").view("uint32")
    return (bits & np.uint32(0xFFFF0000)).view("float32").astype("float64")


def _exact_options(case: Case) -> dict[str, Any]:
    arrays = {name: value if name in ("mask", "target") else oracle.exact(value) for name, value in case.arrays.items()}
    return case.options | arrays


def tuple_of(y) -> tuple:
    return y if isinstance(y, tuple) else (y,)


def oracle_call(case: Case, x):
    return getattr(oracle, case.function)(x, **_exact_options(case))


@cache
def expected_value(case_id: str, dtype: str) -> tuple[np.ndarray, ...]:
    case = BY_ID[case_id]
    return tuple(map(oracle.rounded, tuple_of(oracle_call(case, oracle.exact(scores(case, dtype))))))


@cache
def expected_jacobians(case_id: str, dtype: str) -> tuple[np.ndarray, ...]:
    """Jacobians of shape (value's shape, number of scores)."""
    case = BY_ID[case_id]
    x = oracle.exact(scores(case, dtype))
    columns = []
    for k in range(x.size):
        unit = oracle.exact(np.eye(x.size)[k].reshape(x.shape))
        columns.append(
            [oracle.rounded(d) for d in tuple_of(oracle.derivative(lambda z: oracle_call(case, z), x, unit))]
        )
    return tuple(np.stack(parts, axis=-1) for parts in zip(*columns, strict=True))


def call(case: Case, backend, **extra):
    """The library's function of the scores alone, with the case's options in the framework's arrays."""
    function = getattr(anyargmax, case.function)
    arrays = {name: backend.asarray(value) for name, value in case.arrays.items()}
    options = case.options | arrays | extra
    second = [options.pop(name) for name in ("k", "target") if name in options]  # positional in the library
    return lambda x: function(x, *second, **options)


def close(actual, expected, dtype: str, kind: str, stored: str | None = None) -> None:
    """Hold a result against the oracle in multiples of eps: of the dtype computed in, plus the rounding
    of the dtype it is stored in."""
    expected = np.asarray(expected, dtype=np.float64)
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.max(np.abs(finite), initial=0.0)))
    allowed = TOLERANCE[kind] * EPS[COMPUTED_IN[dtype]] * scale + (EPS[stored] * np.abs(expected) if stored else 0)
    actual = np.asarray(actual, dtype=np.float64)
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    error = np.where(np.isnan(expected), 0, np.abs(actual - expected))
    assert np.all(error <= allowed), (
        f"off by up to {np.max(error / (EPS[COMPUTED_IN[dtype]] * scale)):.3g} eps:\n{actual}\n{expected}"
    )


BY_ID = {case.id: case for case in CASES}
