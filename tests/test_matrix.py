"""Framework x function x dtype x axis x option, against the oracle in 50 digits."""

import numpy as np
import pytest
from cases import CASES, call, close, expected_jacobians, expected_value, scores, tuple_of
from conftest import COMPUTED_IN, LOADED, PRESENT, dtype_name

HALF = ("float16", "bfloat16")
# Half precision is computed in float32: what remains to check is the way in and out, once a kind of call.
KINDS = {
    (case.function, *sorted(case.options.keys() & {"readout", "alpha", "kind"}), *sorted(case.arrays)): case.id
    for case in CASES
}


# A threshold is 24 or 72 steps of a lazy graph, seconds for each call: on Dask, one of a kind must do.
ON_DASK = ("sparsemax weights", "entmax weights of an order a row", "capped weights of two winners")


def is_slow_on_dask(case):
    return case.function in ("soft_top_k", "fenchel_young_loss") or "alpha" in {*case.arrays, *case.options}


def combinations(full, half):
    """Parameters for each framework, dtype and case; all cases in the dtypes of full, one a kind in those of half."""
    found = []
    for name, backend in LOADED.items():
        for dtype in (*full, *half) if name in PRESENT else ("float64",):
            for case in CASES:
                there = name not in PRESENT or dtype in backend.dtypes
                wanted = dtype not in half or case.id in KINDS.values()
                slow = name == "dask" and is_slow_on_dask(case) and (len(full) > 1 or case.id not in ON_DASK)
                if there and wanted and not slow:
                    marks = () if name in PRESENT else pytest.mark.skip(reason=str(backend))
                    found.append(
                        pytest.param(
                            backend, dtype, case, id=f"{name}-{dtype}-{case.id.replace(' ', '_')}", marks=marks
                        )
                    )
    return pytest.mark.parametrize(("backend", "dtype", "case"), found)


def stored_dtype(case, dtype):
    """Weights keep the input's dtype, positions are at least float32."""
    return dtype if case.function in ("soft_one_hot", "soft_top_k", "sharpen") else COMPUTED_IN[dtype]


@pytest.fixture
def cotangents(rng):
    """Cotangents of the shapes of values, rounded so that every dtype holds them exactly."""
    return lambda values: [np.round(16 * rng.normal(size=value.shape)) / 16 for value in values]


@combinations(full=("float64",), half=HALF)
def test_value_is_the_oracles(backend, dtype, case):
    actual = call(case, backend)(backend.asarray(scores(case, dtype), dtype))
    hold_values(backend, dtype, case, actual)


def hold_values(backend, dtype, case, actual):
    for got, expected in zip(tuple_of(actual), expected_value(case.id, dtype), strict=True):
        assert dtype_name(got) == stored_dtype(case, dtype)
        close(backend.to_numpy(got), expected, dtype, "value", stored_dtype(case, dtype))


def pulled_back(backend, dtype, case, gs):
    """Gradient of the value and the cotangents it was pulled back from, after holding the value."""
    x = backend.asarray(scores(case, dtype), dtype)
    value, pullback = backend.vjp(call(case, backend), x)
    hold_values(backend, dtype, case, value)
    on_device = tuple(backend.asarray(np.nan_to_num(g), stored_dtype(case, dtype)) for g in gs)
    (gradient,) = pullback(on_device if isinstance(value, tuple) else on_device[0])
    assert gradient.dtype == x.dtype
    return gradient


@combinations(full=("float32", "float64"), half=HALF)
def test_vjp_is_the_oracles(backend, dtype, case, cotangents):
    gs = cotangents(expected_value(case.id, dtype))
    jacobians = expected_jacobians(case.id, dtype)
    expected = sum(np.tensordot(g, np.nan_to_num(j), axes=g.ndim) for g, j in zip(gs, jacobians, strict=True))
    gradient = backend.to_numpy(pulled_back(backend, dtype, case, gs))
    close(gradient, expected.reshape(case.shape), dtype, "derivative", dtype)


@combinations(full=("float32", "float64"), half=())
def test_jvp_is_the_oracles_and_the_adjoint_of_the_vjp(backend, dtype, case, cotangents):
    x = scores(case, dtype)
    t = cotangents([x])[0]
    value, tangent = backend.jvp(call(case, backend), (backend.asarray(x, dtype),), (backend.asarray(t, dtype),))
    hold_values(backend, dtype, case, value)
    for got, jacobian in zip(tuple_of(tangent), expected_jacobians(case.id, dtype), strict=True):
        close(backend.to_numpy(got), jacobian @ t.reshape(-1), dtype, "derivative", stored_dtype(case, dtype))
    gs = cotangents(expected_value(case.id, dtype))
    gradient = backend.to_numpy(pulled_back(backend, dtype, case, gs))
    left = sum(np.vdot(g, backend.to_numpy(dy)) for g, dy in zip(gs, tuple_of(tangent), strict=True))
    close(np.vdot(gradient, t), left, dtype, "derivative")
