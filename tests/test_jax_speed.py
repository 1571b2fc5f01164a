"""JAX: the expected position as one product, its care for infinities, and the forms that XLA is slow at."""

import time
from functools import partial

import numpy as np
import pytest
from conftest import PRESENT

from anyargmax import soft_argmax, spatial_soft_argmax
from anyargmax.validation.tolerance import EPS, assert_close

if "jax" not in PRESENT:
    pytest.skip("jax is not installed", allow_module_level=True)

import jax
import jax.numpy as jnp


def value_and_gradient(f):
    """A compiled function of scores and a cotangent."""

    def both(x, g):
        y, pullback = jax.vjp(f, x)
        return y, pullback(g)[0]

    return jax.jit(both)


def fastest(functions, *arguments, rounds=7):
    """The shortest time of each function, all of them in every round."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            times[name].append(time.perf_counter() - start)
    return {name: min(taken[1:]) for name, taken in times.items()}


@pytest.mark.parametrize("axis", [1, 2])
def test_an_inner_axis_takes_no_longer_than_moving_it_last(axis, rng):
    """XLA may compute a sum along an inner axis again for every entry: seconds in place of milliseconds."""
    shape = (2, 48, 60, 80)
    x = jnp.asarray(rng.normal(size=shape), dtype=jnp.float32)
    index = jnp.arange(shape[axis], dtype=jnp.float32)

    def moved(x):
        return jnp.sum(jax.nn.softmax(jnp.moveaxis(x, axis, -1)) * index, axis=-1)

    functions = {"ours": value_and_gradient(partial(soft_argmax, axis=axis)), "moved": value_and_gradient(moved)}
    g = jnp.asarray(rng.normal(size=tuple(np.delete(shape, axis))), dtype=jnp.float32)
    ours, theirs = (function(x, g) for function in functions.values())
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * EPS["float32"] * shape[axis])
    taken = fastest(functions, x, g)
    assert taken["ours"] < 3 * taken["moved"]


@pytest.mark.parametrize(
    ("shape", "axis", "most"), [((256, 1024), -1, 0.05), ((8, 9, 4096), -1, 0.05), ((2, 64, 4096), 1, 0.5)]
)
def test_the_gradient_needs_hardly_any_memory_but_its_own(shape, axis, most):
    x = jnp.zeros(shape, dtype=jnp.float32)
    g = jnp.zeros(tuple(np.delete(shape, axis)), dtype=jnp.float32)
    compiled = value_and_gradient(partial(soft_argmax, axis=axis)).lower(x, g).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= most * x.nbytes


@pytest.mark.parametrize("axis", [0, 1])
def test_long_rows_are_exact_in_float32(axis, rng):
    x = rng.normal(size=(3, 20000)).astype("float32")
    p = np.exp(x.astype("float64") - x.max(axis=1, keepdims=True))
    expected = (p * np.arange(20000)).sum(axis=1) / p.sum(axis=1)
    actual = np.asarray(soft_argmax(jnp.asarray(x if axis else x.T), axis=axis), dtype=np.float64)
    assert_close(actual / 20000, expected / 20000, "float32", "value")


TOP = float(np.finfo("float64").max)
INF = np.inf
ROWS = {
    "one +inf": [0.0, INF, 2.0, 1.0],
    "two +inf": [INF, 0.0, 5.0, INF],
    "+inf beside the largest number": [TOP, 0.0, INF, -TOP],
    "+inf beside -inf": [-INF, INF, INF, 0.0],
    "one -inf": [1.0, -INF, 2.0, 0.5],
    "all -inf": [-INF] * 4,
    "the largest numbers": [TOP, -TOP, TOP, 0.0],
    "far below": [0.0, -1e3, -1e5, -1e300],
    "a NaN": [1.0, np.nan, 0.0, 2.0],
    "a NaN beside +inf": [1.0, np.nan, INF, 2.0],
}
CARE = np.asarray(list(ROWS.values()))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("temperature", [1.0, 1e-3, 1e300], ids=str)
def test_rows_that_need_care_are_as_in_numpy(axis, temperature, rng):
    g = rng.normal(size=len(CARE))
    f = partial(soft_argmax, axis=axis, temperature=temperature)
    x = CARE.T if axis == 0 else CARE
    y, dx = value_and_gradient(f)(jnp.asarray(x), jnp.asarray(g))
    expected, pullback = PRESENT["numpy"].vjp(f, x)
    assert_close(y, expected, "float64", "value")
    assert_close(dx, pullback(g)[0], "float64", "derivative")


@pytest.mark.parametrize("row", list(ROWS.values()), ids=[name.replace(" ", "_") for name in ROWS])
def test_one_row_that_needs_care_alone_and_in_a_batch(row, rng):
    f = partial(soft_argmax, axis=-1)
    one = value_and_gradient(f)(jnp.asarray(row), jnp.asarray(1.0))
    many = jax.vmap(lambda x: value_and_gradient(f)(x, jnp.asarray(1.0)))(jnp.asarray(CARE))
    place = [np.array_equal(other, row, equal_nan=True) for other in CARE].index(True)
    for alone, batched in zip(one, many, strict=True):
        np.testing.assert_allclose(np.asarray(batched)[place], alone, rtol=0, atol=16 * EPS["float64"])


@pytest.mark.parametrize("axes", [(1, 2), (0, 1), (0, 2), (2, 1)], ids=str)
def test_coordinates_over_any_axes_are_as_in_numpy(axes, rng):
    """Neighbouring axes in order are merged into one; others are not."""
    x = rng.normal(size=(4, 5, 6))
    f = partial(spatial_soft_argmax, axes=axes, temperature=0.5)
    expected, pullback = PRESENT["numpy"].vjp(f, x)
    g = rng.normal(size=expected.shape)
    y, dx = value_and_gradient(f)(jnp.asarray(x), jnp.asarray(g))
    assert_close(y, expected, "float64", "value")
    assert_close(dx, pullback(g)[0], "float64", "derivative")


@pytest.mark.parametrize("axis", [0, 1])
def test_second_derivatives_at_ties_and_in_every_mode(axis, rng):
    """The largest scores, several of them equal, move like any other."""
    x = jnp.asarray(np.where(rng.random((4, 5)) < 0.5, 1.0, rng.normal(size=(4, 5))))
    c = jnp.arange(x.shape[axis], dtype=x.dtype)
    c = c[:, None] if axis == 0 else c

    def plain(x):
        return jnp.sum(jnp.sum(jnp.exp(x) * c, axis=axis) / jnp.sum(jnp.exp(x), axis=axis))

    ours = lambda x: jnp.sum(soft_argmax(x, axis=axis))  # noqa: E731
    for modes in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f)), lambda f: jax.jacfwd(jax.jacfwd(f))):
        assert_close(modes(ours)(x), np.asarray(modes(plain)(x)), "float64", "derivative")
