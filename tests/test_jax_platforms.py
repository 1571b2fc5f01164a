"""JAX for platforms that are not there: what is lowered for each, and the forms for accelerators, run on the CPU."""

import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PRESENT

import anyargmax
from anyargmax import (
    fenchel_young_loss,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)
from anyargmax._frameworks import binding
from anyargmax._kernels import selection
from anyargmax.validation import catalogue
from anyargmax.validation.checking import assert_call_agrees
from anyargmax.validation.tolerance import assert_close

if "jax" not in PRESENT:
    pytest.skip("jax is not installed", allow_module_level=True)

import jax
import jax.export
import jax.numpy as jnp
from test_jax_speed import CARE, TOP, value_and_gradient

INF, NAN = np.inf, np.nan
last = partial(soft_argmax, axis=-1)


@pytest.fixture
def elsewhere(monkeypatch):
    """What is for accelerators is done on the CPU."""
    forced = binding.jax.compiler._replace(on_platform=lambda *, cpu, default: default(), apart=lambda *arrays: arrays)
    monkeypatch.setattr(binding.jax, "compiler", forced)
    jax.clear_caches()
    with selection.only("contraction", "reductions", "steps") as taken:
        yield taken
    jax.clear_caches()


def lowered(f, *shapes, platforms=("cuda",), dtype="float32"):
    """The program for platforms, in StableHLO."""
    shapes = [shape if hasattr(shape, "dtype") else jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    return jax.export.export(jax.jit(f), platforms=platforms)(*shapes).mlir_module()


def gradient(f):
    return jax.grad(lambda x: jnp.sum(f(x)))


def iterated(x):
    return jax.lax.fori_loop(0, 3, lambda _, x: x + soft_argmax(x, axis=-1, keepdims=True), x)


PROGRAMS = {
    "rows": (last, (256, 100)),
    "rows, gradient": (gradient(last), (256, 100)),
    "rows, second derivatives": (jax.hessian(lambda x: jnp.sum(last(x))), (2, 9)),
    "one row mapped": (jax.vmap(partial(soft_argmax, axis=0)), (10, 2000)),
    "inner axis, gradient": (gradient(partial(soft_argmax, axis=1)), (8, 300, 100)),
    "maps, gradient": (gradient(spatial_soft_argmax), (40, 30, 20)),
    "few maps": (spatial_soft_argmax, (2, 3, 4)),
    "in a loop": (iterated, (256, 100)),
}


@pytest.mark.parametrize(("f", "shape"), PROGRAMS.values(), ids=PROGRAMS)
def test_accelerators_are_given_sums_and_a_cpu_products(f, shape):
    loops = int(f is iterated)
    for platform in ("cuda", "tpu"):
        program = lowered(f, shape, platforms=(platform,))
        assert program.count("stablehlo.while") == loops
        for slow in ("dot_general", "optimization_barrier", "stablehlo.if"):
            assert slow not in program
    assert "dot_general" in lowered(f, shape, platforms=("cpu",)) or np.prod(shape) <= 2**10


@pytest.mark.parametrize("alpha", [1.3, 1.5, 2])
def test_entmax_waits_for_no_loop_on_an_accelerator(alpha):
    f = partial(soft_one_hot, alpha=alpha)
    assert "stablehlo.while" in lowered(f, (4, 9), platforms=("cpu",))
    assert "stablehlo.while" not in lowered(f, (4, 9))
    assert "stablehlo.while" not in lowered(gradient(partial(soft_argmax, axis=-1, alpha=alpha)), (4, 9))


def test_one_program_for_several_platforms_holds_both_forms(rng):
    x = jnp.asarray(rng.normal(size=(40, 30)))
    exported = jax.export.export(jax.jit(value_and_gradient(last)), platforms=("cpu", "cuda"))(x, x[:, 0])
    program = exported.mlir_module()
    assert "dot_general" in program
    for actual, expected in zip(exported.call(x, x[:, 0]), value_and_gradient(last)(x, x[:, 0]), strict=True):
        assert_close(np.asarray(actual), np.asarray(expected), "float64", "value")


@pytest.mark.parametrize("symbols", ["rows, n", "maps, height, width"])
def test_lengths_may_be_symbols_for_an_accelerator(symbols):
    shape = jax.export.symbolic_shape(symbols)
    f = last if len(shape) == 2 else spatial_soft_argmax
    assert "dot_general" not in lowered(f, jax.ShapeDtypeStruct(shape, jnp.float32))


@pytest.mark.parametrize("f", [last, soft_one_hot], ids=["position", "weights"])
def test_half_scores_are_converted_once_in_the_program_that_reads_them(f):
    """XLA computes that in the loops that read them: there is no float32 copy."""
    program = lowered(f, (64, 100), dtype="bfloat16")
    assert len(re.findall(r"stablehlo.convert .*tensor<64x100xbf16>\) -> tensor<64x100xf32>", program)) == 1


HELD = (
    *("position along a middle axis", "position at a temperature a row", "position under a mask of the columns"),
    *(
        "coordinates in a map",
        "weights over two axes",
        "weights at a temperature a row",
        "1.5-entmax weights under a mask",
    ),
)


@pytest.mark.parametrize("call", HELD)
def test_forms_for_accelerators_have_the_oracles_answers(call, elsewhere):
    for order in (1, 2):
        assert_call_agrees(catalogue.BY_ID[call], [PRESENT["jax"]], "float64", order=order)
    assert elsewhere


WITH_NAN = np.asarray(
    [
        [NAN, -INF, 1.0, 2.0],
        [NAN, INF, 1.0, -INF],
        [-INF, NAN, -INF, -INF],
        [NAN, -1e5, 0.0, 1.0],
        [INF, INF, NAN, INF],
        [-INF, INF, INF, 0.0],
        [0.0, 1.0, -1.0, 0.5],
    ]
)


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize(
    "f", [last, soft_one_hot, partial(soft_one_hot, alpha=1.5)], ids=["position", "weights", "sparse weights"]
)
def test_care_on_an_accelerator_is_as_in_numpy(f, masked, elsewhere, rng):
    """NaN gives NaN to all that its row keeps, beside +inf too, and 0 to what is masked or -inf."""
    x = np.concatenate([CARE, WITH_NAN])
    mask = rng.random(x.shape) < 0.7 if masked else x == x
    both = value_and_gradient(lambda given: f(given[0], temperature=given[1], mask=given[2]))
    for temperature in (1.0, 1e-3, 1e300, INF):
        t = np.full((len(x), 1), temperature)
        expected, pullback = PRESENT["numpy"].vjp(partial(f, temperature=t, mask=mask), x)
        g = rng.normal(size=expected.shape)
        y, (dx, *_) = both([jnp.asarray(array) for array in (x, t, mask)], jnp.asarray(g))
        # Scores at both ends of the range are infinitely far: of that and an infinite T, the rules know no quotient.
        held = np.all(np.abs(x) != TOP, axis=1) | (temperature < INF)
        assert_close(np.asarray(y)[held], expected[held], "float64", "value")
        assert_close(np.asarray(dx)[held], pullback(g)[0][held], "float64", "derivative")


def test_masked_entries_of_a_row_with_nan_have_no_gradient_on_a_cpu(rng):
    mask = rng.random(WITH_NAN.shape) < 0.6
    f = partial(last, mask=jnp.asarray(mask))
    dx = np.asarray(value_and_gradient(f)(jnp.asarray(WITH_NAN), jnp.ones(len(WITH_NAN)))[1])
    assert not np.any(dx[~mask])


@pytest.mark.parametrize("f", [last, soft_one_hot], ids=["position", "weights"])
def test_tangents_of_rows_without_a_kept_score_are_0(f):
    x, t = jnp.asarray([[-INF, -INF], [1.0, 2.0]]), jnp.ones((2, 2))
    for mask in (None, jnp.asarray([[True, True], [False, False]])):
        tangent = np.asarray(jax.jvp(partial(f, mask=mask), (x,), (t,))[1])
        assert not np.any(tangent)


def test_axes_that_may_be_sharded_are_not_merged(monkeypatch, rng):
    """Among several devices, and where axes are no neighbours, sums are taken along axes as they lie."""
    monkeypatch.setattr(binding.jax, "compiler", binding.jax.compiler._replace(contracts=lambda: False))
    with selection.only("contraction", "reductions") as taken:
        program = lowered(gradient(spatial_soft_argmax), (6, 5, 4), platforms=("cpu",))
    assert set(taken) == {"reductions"}
    assert "dot_general" not in program
    assert not re.search(r"reshape .*tensor<6x5x4xf32>", program)


def test_reading_a_value_waits_for_a_device_that_is_no_cpu(monkeypatch):
    waits = binding.jax.waits
    x = jnp.zeros(3)
    assert not waits(x)
    assert not waits(np.zeros(3))
    asked = []
    jax.jit(lambda x: asked.append(waits(x)))(x)
    assert asked == [False]
    monkeypatch.setattr(jax, "Array", SimpleNamespace)
    assert waits(SimpleNamespace(devices=lambda: [SimpleNamespace(platform="gpu")]))


CALLS = {
    "position": last,
    "inner axis": partial(soft_argmax, axis=1),
    "flattened": soft_argmax,
    "mask": partial(soft_argmax, axis=-1, mask=np.asarray([True, False, True, True])),
    "window": partial(soft_argmax, axis=-1, window=1),
    "maps": spatial_soft_argmax,
    "moments": lambda x: soft_argmax_moments(x, axis=-1)[1],
    "median": partial(soft_argmax, axis=-1, readout="median"),
    "weights": soft_one_hot,
    "sparse weights": partial(soft_one_hot, alpha=1.5),
    "winners": lambda x: soft_top_k(x, 2),
    "loss": lambda x: fenchel_young_loss(x, jnp.zeros((2, 3), dtype=int)),
}


@pytest.mark.parametrize("f", CALLS.values(), ids=CALLS)
def test_nothing_relies_on_the_promotion_of_ranks(f, rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 4)))
    known = ("contraction", "reductions", "steps")
    with jax.numpy_rank_promotion("raise"), selection.only(*known, limits={"contraction": {"tiny": 0, "few": 0}}):
        y, pullback = anyargmax.vjp(jax.jit(f), x)
        assert np.all(np.isfinite(pullback(y)[0]))
