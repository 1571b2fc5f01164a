"""Values and gradients of a function in any framework, along cotangents that are always the same."""

from functools import partial

import numpy as np

from anyargmax.validation.tolerance import assert_close, dtype_name


def parts_of(y):
    return y if isinstance(y, tuple) else (y,)


def direction_of(y):
    """Cotangents without symmetry, each of a few bits, so that half types hold them."""
    return tuple(
        np.round(16 * np.cos(np.arange(np.prod(part.shape)) + k)).reshape(part.shape) / 16
        for k, part in enumerate(parts_of(y))
    )


def pulled(backend, f, *arrays):
    """The values of a function of arrays, as NumPy's, and the gradients along a direction."""
    values, gradients = _pulled(backend, f, *arrays)
    return [*map(backend.to_numpy, values)], [g if g is None else backend.to_numpy(g) for g in gradients]


def pulled_at_once(backend, f, *arrays):
    """The same, which JAX compiles together: for what is no one call of the library, each operation of which it compiles."""
    values, gradients = backend.compile(partial(_pulled, backend, f))(*arrays)
    return [*map(backend.to_numpy, values)], [g if g is None else backend.to_numpy(g) for g in gradients]


def _pulled(backend, f, *arrays):
    y, pullback = backend.vjp(f, *arrays)
    g = tuple(backend.asarray(d, dtype_name(part)) for d, part in zip(direction_of(y), parts_of(y), strict=True))
    return parts_of(y), pullback(g if isinstance(y, tuple) else g[0])


def pulled_twice(backend, f, p):
    """The gradient of ``<t, J^T g>``."""
    x, y = backend.asarray(p), f(backend.asarray(p))
    g = tuple(map(backend.asarray, direction_of(y)))
    t = backend.asarray(np.sin(np.arange(np.size(p))).reshape(np.shape(p)))
    return backend.to_numpy(backend.second(f, (x,), g if isinstance(y, tuple) else g[0], (t,))[0])


def assert_all_close(actual, expected, kind, dtype="float64"):
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, dtype, kind)
