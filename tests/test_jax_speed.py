"""JAX: the expected position as one product, its care for infinities, the forms that XLA is slow at, kept calls."""

import math
import re
import sys
from functools import partial

import numpy as np
import pytest
from conftest import PRESENT

from anyargmax import soft_argmax, spatial_soft_argmax
from anyargmax._frameworks import kept_calls
from anyargmax._kernels import selection
from anyargmax._kernels.traced.contraction import CONTRACTION
from anyargmax.validation.tolerance import EPS, assert_close

pytestmark = pytest.mark.skipif("jax" not in PRESENT, reason="jax is not installed")
if "jax" in PRESENT:
    import jax
    import jax.export
    import jax.numpy as jnp


def value_and_gradient(f):
    """A compiled function of scores and a cotangent."""

    def both(x, g):
        y, pullback = jax.vjp(f, x)
        return y, pullback(g)[0]

    return jax.jit(both)


def instructions(hlo):
    """The lines of each computation in the text of a compiled program, by its name."""
    found = {}
    for head, body in re.findall(r"^(\S[^\n]*) \{\n(.*?)^\}", hlo, flags=re.MULTILINE | re.DOTALL):
        found[head.removeprefix("ENTRY ").split()[0].lstrip("%")] = body.strip().splitlines()
    return found


def entries(line):
    """How many numbers an instruction makes."""
    return math.prod(int(n) for n in re.search(r"= \(?\w+\[([\d,]*)\]", line)[1].split(",") if n)


def repeated_sums(hlo):
    """How often each sum within a merged loop is made: as often as the loop has entries for each of the sum's."""
    computations = instructions(hlo)
    merged = [computations[name] for name in re.findall(r" fusion\(.*?calls=%?([\w.-]+)", hlo)]
    for lines in merged:
        (root,) = (line for line in lines if line.strip().startswith("ROOT"))
        yield from (entries(root) / entries(line) for line in lines if " reduce(" in line)


def work(f, *arguments):
    """Bytes that a compiled function reads and writes, its exponentials, and how often a sum is made at most."""
    compiled = f.lower(*arguments).compile()
    analysis = compiled.cost_analysis()
    return analysis["bytes accessed"], analysis["transcendentals"], max(repeated_sums(compiled.as_text()), default=1)


WAYS = {
    "few": {},
    "many": {"tiny": 0, "few": 0},
    "pieces": {"tiny": 0, "few": 0, "piece": 8, "line": 1},
}


@pytest.fixture(params=WAYS)
def way(request):
    """Each of the ways that depend on how many scores there are, for a few: with care, merged, and in pieces."""
    jax.clear_caches()
    with selection.only("contraction", limits={"contraction": WAYS[request.param]}):
        yield request.param
    jax.clear_caches()


MERGED = """HloModule jit_f

%region (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}

%fused_computation (p: f32[4,6,5]) -> f32[4,6,5] {
  %p = f32[4,6,5]{2,1,0} parameter(0)
  %sum = f32[4,5]{1,0} reduce(%p, %zero), dimensions={1}, to_apply=%region
  %wide = f32[4,6,5]{2,1,0} broadcast(%sum), dimensions={0,2}
  ROOT %quotient = f32[4,6,5]{2,1,0} divide(%p, %wide)
}

ENTRY %main (x: f32[4,6,5]) -> f32[4,6,5] {
  %x = f32[4,6,5]{2,1,0} parameter(0)
  ROOT %fusion = f32[4,6,5]{2,1,0} fusion(%x), kind=kLoop, calls=%fused_computation
}
"""


def test_a_sum_that_is_made_again_for_every_entry_is_seen():
    assert list(repeated_sums(MERGED)) == [6]
    assert list(repeated_sums(MERGED.replace("4,6,5", "4,1,5"))) == [1]


@pytest.mark.parametrize("axis", [1, 2])
def test_an_inner_axis_takes_no_more_work_than_moving_it_last(axis, rng):
    """XLA may compute a sum along an inner axis again for every entry: seconds in place of milliseconds."""
    shape = (2, 48, 60, 80)
    x = jnp.asarray(rng.normal(size=shape), dtype=jnp.float32)
    index = jnp.arange(shape[axis], dtype=jnp.float32)

    def moved(x):
        return jnp.sum(jax.nn.softmax(jnp.moveaxis(x, axis, -1)) * index, axis=-1)

    ours, theirs = value_and_gradient(partial(soft_argmax, axis=axis)), value_and_gradient(moved)
    g = jnp.asarray(rng.normal(size=tuple(np.delete(shape, axis))), dtype=jnp.float32)
    for a, b in zip(ours(x, g), theirs(x, g), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * EPS["float32"] * shape[axis])
    traffic, exponentials, repeated = work(ours, x, g)
    assert traffic < 0.5 * work(theirs, x, g)[0]
    assert exponentials < 2.1 * x.size
    assert repeated <= 2


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
@pytest.mark.usefixtures("way")
def test_rows_that_need_care_are_as_in_numpy(axis, temperature, rng):
    g = rng.normal(size=len(CARE))
    f = partial(soft_argmax, axis=axis, temperature=temperature)
    x = CARE.T if axis == 0 else CARE
    y, dx = value_and_gradient(f)(jnp.asarray(x), jnp.asarray(g))
    expected, pullback = PRESENT["numpy"].vjp(f, x)
    assert_close(y, expected, "float64", "value")
    assert_close(dx, pullback(g)[0], "float64", "derivative")


@pytest.mark.usefixtures("way")
def test_one_row_that_needs_care_alone_and_in_a_batch():
    f = value_and_gradient(partial(soft_argmax, axis=-1))
    many = jax.vmap(lambda x: f(x, jnp.asarray(1.0)))(jnp.asarray(CARE))
    for place, (name, row) in enumerate(ROWS.items()):
        for alone, batched in zip(f(jnp.asarray(row), jnp.asarray(1.0)), many, strict=True):
            actual = np.asarray(batched)[place]
            np.testing.assert_allclose(actual, alone, rtol=0, atol=16 * EPS["float64"], err_msg=name)


@pytest.mark.parametrize("axes", [(1, 2), (0, 1), (0, 2), (2, 1)], ids=str)
@pytest.mark.usefixtures("way")
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
@pytest.mark.usefixtures("way")
def test_second_derivatives_at_ties_and_in_every_mode(axis, rng):
    """The largest scores, several of them equal, move like any other."""
    x = jnp.asarray(np.where(rng.random((4, 5)) < 0.5, 1.0, rng.normal(size=(4, 5))))
    c = jnp.arange(x.shape[axis], dtype=x.dtype)
    c = c[:, None] if axis == 0 else c

    def plain(x):
        return jnp.sum(jnp.sum(jnp.exp(x) * c, axis=axis) / jnp.sum(jnp.exp(x), axis=axis))

    ours = lambda x: jnp.sum(soft_argmax(x, axis=axis))  # noqa: E731
    modes = (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f)), lambda f: jax.jacfwd(jax.jacfwd(f)))
    found, expected = (jax.jit(lambda x, f=f: [mode(f)(x) for mode in modes])(x) for f in (ours, plain))
    for actual, other in zip(found, expected, strict=True):
        assert_close(actual, np.asarray(other), "float64", "derivative")


@pytest.mark.parametrize("shape", [(1, 4, 11), (4, 5, 6), (7, 3, 1), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["number", "array"])
@pytest.mark.usefixtures("way")
def test_an_inner_axis_is_as_in_numpy(shape, kind, rng):
    """Pieces are cut along either axis, the last of them shorter; temperatures are cut with them."""
    x, t = rng.normal(size=shape), rng.normal(size=shape)
    g = rng.normal(size=(shape[0], shape[2]))
    temperature = rng.uniform(0.5, 2, size=(shape[0], 1, shape[2])) if kind == "array" else 0.7
    expected, pullback = PRESENT["numpy"].vjp(partial(soft_argmax, axis=1, temperature=temperature), x)
    f = partial(soft_argmax, axis=1, temperature=temperature if kind == "number" else jnp.asarray(temperature))
    both = value_and_gradient(f)
    compiled = jax.jit(lambda x, g, t: (*both(x, g), jax.jvp(f, (x,), (t,))[1]))
    y, dx, moved = compiled(jnp.asarray(x), jnp.asarray(g), jnp.asarray(t))
    assert_close(y, expected, "float64", "value")
    assert_close(dx, pullback(g)[0], "float64", "derivative")
    assert_close(np.sum(moved * g), np.sum(pullback(g)[0] * t), "float64", "derivative")


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.usefixtures("way")
def test_second_derivatives_are_finite_beside_infinite_scores(axis):
    """In rows that cannot move they are 0, in the others as if those were not there."""
    rows = np.asarray([row for row in ROWS.values() if not np.isnan(row).any()])
    plain = np.asarray([[0.3, -1.0, 2.0, 0.5]])
    x = jnp.asarray(np.concatenate([rows, plain]))

    def loss(x, temperature):
        y = soft_argmax(x.T if axis == 0 else x, axis=axis, temperature=temperature)
        return jnp.sum(jnp.where(jnp.isnan(y), 0.0, y))

    temperature = jnp.full((len(x), 1), 0.8)
    alone = jax.jit(jax.hessian(loss))(jnp.asarray(plain), temperature[:1].T if axis == 0 else temperature[:1])
    hessian = jax.jit(jax.hessian(loss))(x, temperature.T if axis == 0 else temperature)
    mixed = jax.jit(jax.jacrev(jax.grad(loss), argnums=1))(x, temperature.T if axis == 0 else temperature)
    assert np.all(np.isfinite(hessian))
    assert np.all(np.isfinite(mixed))
    assert_close(hessian[-1, :, -1], alone[0, :, 0], "float64", "derivative")
    frozen = np.isinf(rows.max(axis=1))
    assert not np.any(np.asarray(hessian)[:-1][frozen])


def test_one_row_with_infinities_among_many_scores(rng):
    """Only such rows are computed again."""
    x = rng.normal(size=(len(CARE), 2000))
    x[:, :4] = CARE
    assert x.size > CONTRACTION.limits.few
    g = rng.normal(size=len(CARE))
    expected, pullback = PRESENT["numpy"].vjp(partial(soft_argmax, axis=1), x)
    y, dx = value_and_gradient(partial(soft_argmax, axis=1))(jnp.asarray(x), jnp.asarray(g))
    assert_close(y, expected, "float64", "value")
    assert_close(dx, pullback(g)[0], "float64", "derivative")
    many = jax.vmap(partial(soft_argmax, axis=0))(jnp.asarray(x))
    assert_close(many, expected, "float64", "value")


def test_an_eager_call_is_little_more_than_a_compiled_one():
    """What it finds out about its arguments, it finds out once: then hardly a function is called."""

    def functions_called(f, x):
        called = []
        sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
        try:
            f(x)
        finally:
            sys.setprofile(None)
        return called

    kept_calls.forget()
    x = jnp.ones((8, 10))
    f = partial(soft_argmax, axis=-1)
    counts = [len(functions_called(f, x)) for _ in range(3)]
    assert counts[0] > 20, "the first call looks at everything"
    assert counts[1] <= 8
    assert counts[2] <= 8


def test_a_kept_call_follows_the_precision_that_is_enabled():
    x = np.arange(6.0).reshape(2, 3)
    for _ in range(2):
        with jax.enable_x64(True):
            assert soft_argmax(jnp.asarray(x), axis=1).dtype == "float64"
            wide = jnp.asarray(x)
        with jax.enable_x64(False):
            assert soft_argmax(jnp.asarray(x), axis=1).dtype == "float32"
            assert soft_argmax(wide, axis=1).dtype == "float32"


def test_kept_calls_are_right_inside_every_transform(rng):
    """A concrete array that a transformed function closes over takes the kept call, a tracer does not."""
    x = jnp.asarray(rng.normal(size=(3, 4)))
    expected = soft_argmax(x, axis=1)
    assert_close(soft_argmax(x, axis=1), np.asarray(expected), "float64", "value")
    assert_close(jax.jit(lambda t: t + soft_argmax(x, axis=1))(0.0), np.asarray(expected), "float64", "value")
    assert_close(jax.vmap(lambda row: soft_argmax(row, axis=0))(x), np.asarray(expected), "float64", "value")
    with jax.disable_jit():
        assert_close(soft_argmax(x, axis=1), np.asarray(expected), "float64", "value")
    assert jax.eval_shape(partial(soft_argmax, axis=1), x).shape == (3,)
    slope = jax.grad(lambda x: jnp.sum(soft_argmax(x, axis=1)))
    assert_close(jax.jit(slope)(x), np.asarray(slope(x)), "float64", "derivative")


@pytest.mark.parametrize(
    ("function", "symbols", "shape"),
    [
        (partial(soft_argmax, axis=-1), "rows, 7", (5, 7)),
        (partial(soft_argmax, axis=-1), "7, n", (7, 9)),
        (partial(soft_argmax, axis=1), "rows, n, columns", (2, 9, 4)),
        (spatial_soft_argmax, "maps, 5, 6", (3, 5, 6)),
    ],
    ids=["rows", "length of an axis", "inner axis", "maps"],
)
def test_a_length_may_be_a_symbol_in_an_export(function, symbols, shape, rng):
    symbolic = jax.ShapeDtypeStruct(jax.export.symbolic_shape(symbols), jnp.float32)
    exported = jax.export.export(jax.jit(function))(symbolic)
    x = jnp.asarray(rng.normal(size=shape), dtype=jnp.float32)
    assert_close(np.asarray(exported.call(x)), np.asarray(function(x)), "float32", "value")
