"""Framework x function x dtype x axis x option, against the oracle in 50 digits."""

import numpy as np
import pytest
from cases import CASES, call, close, expected_jacobians, expected_value, scores, tuple_of
from conftest import COMPUTED_IN, dtype_name

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.id.replace(" ", "_")) for case in CASES])


def stored_dtype(case, dtype):
    """Weights keep the input's dtype, positions are at least float32."""
    return dtype if case.function in ("soft_one_hot", "sharpen") else COMPUTED_IN[dtype]


@pytest.fixture
def cotangents(rng):
    """Cotangents of the shapes of values, rounded so that every dtype holds them exactly."""
    return lambda values: [np.round(16 * rng.normal(size=value.shape)) / 16 for value in values]


@every_case
def test_value_is_the_oracles(backend_dtype, case):
    backend, dtype = backend_dtype
    actual = call(case, backend)(backend.array(scores(case, dtype), dtype))
    for got, expected in zip(tuple_of(actual), expected_value(case.id, dtype), strict=True):
        assert dtype_name(got) == stored_dtype(case, dtype)
        close(backend.numpy(got), expected, dtype, "value", stored_dtype(case, dtype))


@every_case
def test_vjp_is_the_oracles(backend_dtype, case, cotangents):
    backend, dtype = backend_dtype
    x = backend.array(scores(case, dtype), dtype)
    value, pullback = backend.vjp(call(case, backend), x)
    values = tuple_of(value)
    gs = cotangents(expected_value(case.id, dtype))
    on_device = [backend.array(np.nan_to_num(g), stored_dtype(case, dtype)) for g in gs]
    (gradient,) = pullback(tuple(on_device) if isinstance(value, tuple) else on_device[0])
    jacobians = expected_jacobians(case.id, dtype)
    expected = sum(np.tensordot(g, np.nan_to_num(j), axes=g.ndim) for g, j in zip(gs, jacobians, strict=True))
    assert len(values) == len(jacobians)
    assert gradient.dtype == x.dtype
    close(backend.numpy(gradient), expected.reshape(x.shape), dtype, "derivative", dtype)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jvp_is_the_oracles(backend, dtype, case, cotangents):
    x = scores(case, dtype)
    t = cotangents([x])[0]
    _, tangent = backend.jvp(call(case, backend), (backend.array(x, dtype),), (backend.array(t, dtype),))
    for got, jacobian in zip(tuple_of(tangent), expected_jacobians(case.id, dtype), strict=True):
        close(backend.numpy(got), jacobian @ t.reshape(-1), dtype, "derivative", stored_dtype(case, dtype))


@every_case
def test_products_are_adjoint(backend, case, cotangents):
    dtype = "float64"
    x = scores(case, dtype)
    t = cotangents([x])[0]
    value, pullback = backend.vjp(call(case, backend), backend.array(x))
    _, tangent = backend.jvp(call(case, backend), (backend.array(x),), (backend.array(t),))
    gs = cotangents([backend.numpy(y) for y in tuple_of(value)])
    on_device = tuple(map(backend.array, gs))
    (gradient,) = pullback(on_device if isinstance(value, tuple) else on_device[0])
    left = sum(np.vdot(g, backend.numpy(dy)) for g, dy in zip(gs, tuple_of(tangent), strict=True))
    close(np.vdot(backend.numpy(gradient), t), left, dtype, "derivative")
