"""Noise: one law in every framework, finite always, and of the shape that was asked for."""

import math
import re
import subprocess
import sys
from fractions import Fraction
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import MISSING, NAMES, PRESENT, backend_parameters

from anyargmax import register_backend
from anyargmax._calls.noise import noise
from anyargmax._calls.validate import described
from anyargmax._frameworks import registry, tape
from anyargmax._frameworks.registry import select
from anyargmax._kernels.random import of_generators
from anyargmax._rules.noise import BOUND
from anyargmax.sampling import gumbel_noise, normal_noise
from anyargmax.validation.tolerance import COMPUTED_IN, EPS, TOLERANCE, dtype_name

FRAMEWORKS = tuple(name for name in NAMES if name != "torch-func")  # which is torch
LAWS = {"gumbel": gumbel_noise, "normal": normal_noise}
COUNT = 100_000  # draws of which statistics are taken
every_framework = pytest.mark.parametrize("backend", backend_parameters(FRAMEWORKS))
both = pytest.mark.parametrize("law", LAWS)


def needs(name):
    return pytest.mark.skipif(name not in PRESENT, reason=MISSING.get(name, ""))


def key_of(backend, seed=0):
    """What a framework draws with, from a seed."""
    if backend.name == "torch":
        return sys.modules["torch"].Generator().manual_seed(seed)
    if backend.name == "jax":
        return sys.modules["jax"].random.key(seed)
    if backend.name == "tensorflow":
        return sys.modules["tensorflow"].random.Generator.from_seed(seed)
    return np.random.default_rng(seed)


def scores(backend, values, dtype="float32"):
    """Scores in a framework: of autograd those that it differentiates."""
    x = backend.asarray(values, dtype)
    if backend.name != "autograd":
        return x
    from autograd.core import VJPNode
    from autograd.tracer import new_box

    return new_box(x, 0, VJPNode.new_root())


def feed(monkeypatch, ops):
    """Have the key of a call be the integers that are drawn with it."""
    monkeypatch.setattr(ops, "compiled", {})
    fed = ops.random._replace(owns=lambda key: True, integers=lambda key, bound, lead, x: key)
    monkeypatch.setattr(ops, "random", fed)


def count_of_words(law, dtype):
    return (3 if dtype == "float64" else 2) + (law == "normal")


def integers_of(rng, law, dtype):
    """Random integers, and the extreme ones in all combinations, along the last axis."""
    count = count_of_words(law, dtype)
    extreme = np.stack(np.meshgrid(*[[0, 1, BOUND // 2, BOUND - 2, BOUND - 1]] * count), axis=0).reshape(count, -1)
    random = rng.integers(0, BOUND, size=(count, 2000))
    small = np.where(np.arange(count)[:, None] == 0, random >> rng.integers(0, 25, size=2000), random)
    return np.concatenate([extreme, random, small], axis=1)


def expected(law, integers, dtype):
    """The law in long doubles, of the uniform number as it is rounded to the dtype."""
    words = integers[: count_of_words("gumbel", dtype)]
    exact = [float(sum(Fraction(int(i), BOUND**k) for k, i in enumerate(column, 1))) for column in words.T]
    w = np.clip(np.asarray(exact).astype(dtype), 0.5 / float(BOUND) ** len(words), 1 - EPS[dtype] / 2)
    w = w.astype(np.longdouble)
    if law == "gumbel":
        return -np.log(-np.log1p(-w))
    turn = (2 * integers[-1] + 1 - BOUND).astype(np.longdouble) / BOUND
    return np.sqrt(-2 * np.log(w)) * np.cos(np.longdouble("3.14159265358979323846") * turn)


def assert_by_entry(actual, wanted, dtype):
    error = np.abs(actual - wanted) / np.maximum(1, np.abs(wanted))
    worst = int(np.argmax(error))
    assert error[worst] <= TOLERANCE["value"] * EPS[dtype], (worst, actual[worst], wanted[worst])


@every_framework
@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_integers_give_the_same_noise_in_every_framework(backend, law, dtype, monkeypatch, rng):
    integers = integers_of(rng, law, dtype)
    x = scores(backend, np.zeros(integers.shape[1]), dtype)
    feed(monkeypatch, select([x]))
    made = LAWS[law](backend.asarray(integers, "int32"), x)
    assert dtype_name(made) == dtype
    assert_by_entry(backend.to_numpy(made), expected(law, integers, dtype), dtype)


@pytest.mark.parametrize("backend", backend_parameters(("tensorflow",)))
@both
def test_the_same_integers_give_the_same_noise_when_xla_compiles_tensorflow(backend, law, monkeypatch, rng):
    tf = sys.modules["tensorflow"]
    integers = integers_of(rng, law, "float32")
    x = scores(backend, np.zeros(integers.shape[1]))
    feed(monkeypatch, select([x]))
    made = tf.function(LAWS[law], jit_compile=True)(backend.asarray(integers, "int32"), x)
    assert_by_entry(backend.to_numpy(made), expected(law, integers, "float32"), "float32")


@every_framework
@pytest.mark.parametrize(
    ("law", "dtype", "words", "value"),
    [
        ("gumbel", "float16", (0, 0), -math.log(2.0**-49)),
        ("gumbel", "float16", (BOUND - 1, BOUND - 1), -math.log(24 * math.log(2))),
        ("gumbel", "float64", (0, 0, 0), -math.log(2.0**-73)),
        ("gumbel", "float64", (BOUND - 1, BOUND - 1, BOUND - 1), -math.log(53 * math.log(2))),
        ("normal", "float16", (0, 0, 0), -math.sqrt(98 * math.log(2))),
        ("normal", "float16", (0, 0, BOUND // 2), math.sqrt(98 * math.log(2))),
        ("normal", "float16", (BOUND - 1, BOUND - 1, 0), -(2.0**-11.5)),
        ("normal", "float64", (0, 0, 0, BOUND - 1), -math.sqrt(146 * math.log(2)) * math.cos(math.pi / BOUND)),
    ],
    ids=lambda value: str(value) if isinstance(value, (str, tuple)) else "",
)
def test_the_extreme_integers_give_the_extremes_that_the_documentation_names(
    backend, law, dtype, words, value, monkeypatch
):
    """In half precision too, where `torch.nn.functional.gumbel_softmax` gives infinities."""
    if dtype not in backend.dtypes:
        dtype = "float32"
    x = scores(backend, np.zeros(3), dtype)
    feed(monkeypatch, select([x]))
    integers = backend.asarray(np.repeat(np.asarray(words)[:, None], 3, axis=1), "int32")
    made = backend.to_numpy(LAWS[law](integers, x))
    np.testing.assert_allclose(made, value, rtol=TOLERANCE["value"] * EPS[COMPUTED_IN[dtype]])


def test_the_first_integer_alone_may_make_a_rare_number(monkeypatch, rng):
    """One in 2^24 is above 16.6, where a uniform number of 24 bits alone would have one value."""
    x = np.zeros(1000, dtype="float32")
    feed(monkeypatch, select([x]))
    made = gumbel_noise(np.stack([np.zeros(1000, dtype=int), rng.integers(0, BOUND, size=1000)]), x)
    assert np.all(made >= np.float32(24 * math.log(2)))
    assert np.mean(made > 24 * math.log(2) + 1) == pytest.approx(math.exp(-1), abs=5 * math.sqrt(0.233 / 1000))


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        pytest.param(backend.values[0], dtype, id=f"{backend.id}-{dtype}", marks=backend.marks)
        for backend in backend_parameters(("numpy", "torch"))
        for dtype in ("float16", "bfloat16", "float32", "float64")
        if (backend.id, dtype) != ("numpy", "bfloat16")
    ],
)
@both
def test_ten_million_draws_are_finite_and_as_often_large_as_they_should_be(backend, dtype, law):
    key, x, large = key_of(backend), backend.asarray(np.zeros(1_000_000), dtype), 0
    level, share = (10.0, -math.expm1(-math.exp(-10.0))) if law == "gumbel" else (4.0, math.erfc(4 / math.sqrt(2)) / 2)
    for _ in range(10):
        made = LAWS[law](key, x)
        low, high = float(made.min()), float(made.max())
        assert -10 < low <= high < 60
        large += int((made > level).sum())
    assert abs(large - 1e7 * share) < 5 * math.sqrt(1e7 * share)


def cdf(law, values):
    if law == "gumbel":
        return np.exp(-np.exp(-values))
    return np.asarray([math.erfc(-v / math.sqrt(2)) / 2 for v in values.tolist()])


@every_framework
@both
def test_mean_variance_and_distribution_are_those_of_the_law(backend, law):
    made = LAWS[law](key_of(backend), scores(backend, np.zeros(1000)), draws=COUNT // 1000)
    values = np.sort(np.ravel(backend.to_numpy(made)).astype("float64"))
    mean, variance, kurtosis = (np.euler_gamma, math.pi**2 / 6, 5.4) if law == "gumbel" else (0.0, 1.0, 3.0)
    assert abs(np.mean(values) - mean) < 5 * math.sqrt(variance / COUNT)
    assert abs(np.var(values) - variance) < 5 * variance * math.sqrt((kurtosis - 1) / COUNT)
    below = cdf(law, values)
    distance = np.maximum(np.abs(below - np.arange(COUNT) / COUNT), np.abs(below - np.arange(1, COUNT + 1) / COUNT))
    assert np.max(distance) < 5 * 0.5 / math.sqrt(COUNT)


@every_framework
def test_the_argmax_of_scores_and_noise_is_a_draw_from_softmax(backend):
    x = np.asarray([0.5, -1.25, 1.0, 0.25])
    made = backend.to_numpy(gumbel_noise(key_of(backend, 1), scores(backend, x), draws=COUNT))
    share = np.bincount(np.argmax(x + made, axis=-1), minlength=4) / COUNT
    p = np.exp(x) / np.sum(np.exp(x))
    assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / COUNT))


@every_framework
@both
def test_a_seed_gives_its_noise_again_and_a_generator_other_noise_with_each_call(backend, law):
    x, key = scores(backend, np.zeros((2, 5))), key_of(backend, 3)
    first, second = (backend.to_numpy(LAWS[law](key_of(backend, seed), x)) for seed in (3, 4))
    again, next_one = (backend.to_numpy(LAWS[law](key, x)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == second)
    assert not np.any(again == next_one) or backend.name == "jax"  # whose keys have no state


@every_framework
@pytest.mark.parametrize(
    ("shape", "draws", "whole"),
    [
        ((2, 3), (), (2, 3)),
        ((2, 3), 4, (4, 2, 3)),
        ((2, 3), (4, 1), (4, 1, 2, 3)),
        ((3,), [2, 2], (2, 2, 3)),
        ((3,), np.int64(2), (2, 3)),
        ((), (), ()),
        ((), 5, (5,)),
        ((0, 3), 2, (2, 0, 3)),
        ((2, 3), 0, (0, 2, 3)),
    ],
    ids=str,
)
def test_noise_has_axes_of_draws_before_those_of_the_scores(backend, shape, draws, whole):
    x = scores(backend, np.zeros(shape))
    made = gumbel_noise(key_of(backend), x, draws=draws)
    assert tuple(made.shape) == whole
    assert isinstance(made, type(backend.asarray(np.zeros(shape))))
    values = backend.to_numpy(made)
    assert np.unique(values).size == values.size
    assert np.all(np.isfinite(values))


@every_framework
def test_noise_has_the_dtype_of_the_scores_but_at_least_float32(backend):
    for dtype in backend.dtypes:
        with backend.scope(dtype):
            assert dtype_name(normal_noise(key_of(backend), scores(backend, np.zeros(3), dtype))) == COMPUTED_IN[dtype]
    assert dtype_name(normal_noise(key_of(backend), scores(backend, np.zeros(3), "int32"))) == backend.default_float


@every_framework
def test_no_score_is_read(backend):
    made = [gumbel_noise(key_of(backend), scores(backend, np.full((2, 3), value))) for value in (0.0, np.nan, np.inf)]
    first, *others = map(backend.to_numpy, made)
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("backend", backend_parameters(("autograd", "torch", "jax", "tensorflow")))
@both
def test_noise_is_a_constant(backend, law, rng):
    x, g = backend.asarray(rng.normal(size=(2, 4)), "float64"), backend.asarray(rng.normal(size=(2, 4)), "float64")
    value, pullback = backend.vjp(lambda x: x * LAWS[law](key_of(backend), x), x)
    made = backend.to_numpy(value) / backend.to_numpy(x)
    np.testing.assert_allclose(backend.to_numpy(pullback(g)[0]), backend.to_numpy(g) * made, rtol=1e-14)


@pytest.mark.parametrize("backend", backend_parameters(("jax",)))
def test_ours_is_fair_where_categories_in_bfloat16_are_not(backend):
    """Of 1000 equal ones, `jax.random.categorical` gives the first 10 far more than 1 %: its noise has 8 bits."""
    jax, count = sys.modules["jax"], 5000
    x, key = jax.numpy.zeros(1000, "bfloat16"), jax.random.key(0)
    ours = jax.numpy.argmax(x + gumbel_noise(key, x, draws=count), axis=-1)
    theirs = jax.random.categorical(key, x, shape=(count,))
    error = math.sqrt(0.01 * 0.99 / count)
    assert abs(float((ours < 10).mean()) - 0.01) < 5 * error
    assert abs(float((theirs < 10).mean()) - 0.01) > 20 * error


@pytest.mark.parametrize("backend", backend_parameters(("jax",)))
def test_jax_draws_in_jit_and_vmap_what_it_draws_outside(backend):
    jax, f = sys.modules["jax"], normal_noise
    x, keys = backend.asarray(np.zeros((2, 3)), "float32"), jax.random.split(jax.random.key(5), 4)
    one_by_one = np.stack([f(key, x) for key in keys])
    np.testing.assert_allclose(jax.vmap(f, (0, None))(keys, x), one_by_one, rtol=1e-6, atol=1e-6)
    raw = jax.jit(jax.vmap(f, (0, None)))(jax.random.key_data(keys), x)
    np.testing.assert_allclose(raw, one_by_one, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(f(np.asarray(jax.random.key_data(keys[0])), x), one_by_one[0], rtol=1e-6, atol=1e-6)


ON_DEVICES = """
import jax
from anyargmax.sampling import gumbel_noise
near, far = jax.devices()
x, key = jax.device_put(jax.numpy.zeros(3), far), jax.random.key(0)
for key in (key, jax.device_put(key, near)):
    noise = gumbel_noise(key, x)
    assert noise.devices() == (x + noise).devices() == {far}
assert gumbel_noise(key, jax.numpy.zeros(3)).devices() == {near}
"""


@needs("jax")
def test_jax_puts_noise_where_the_scores_were_put(tmp_path):
    path = [p for p in sys.path if p]
    options = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    program = f"import os, sys; os.environ.update({options}); sys.path[:0] = {path}{ON_DEVICES}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


@needs("torch")
@both
def test_torch_draws_under_vmap_and_for_tensors_without_values(law):
    import torch

    f, generator, x = LAWS[law], torch.Generator(), torch.zeros(3, 4)
    different, same = (torch.vmap(partial(f, generator), randomness=how)(x) for how in ("different", "same"))
    assert torch.unique(different).numel() == 12
    assert torch.unique(same).numel() == 4
    assert torch.equal(same, same[:1].expand(3, 4))
    made = f(generator, torch.zeros(3, dtype=torch.bfloat16, device="meta"), draws=2)
    assert made.device.type == "meta"
    assert (made.shape, made.dtype) == ((2, 3), torch.float32)


@needs("torch")
def test_torch_compiles_what_is_around_a_generator():
    """Its compiler takes none into a graph, and breaks the graph there."""
    import torch

    def f(key, x):
        return 2.0 * x + gumbel_noise(key, x)

    x, (one, other) = torch.zeros(20, 3), (torch.Generator().manual_seed(1) for _ in range(2))
    compiled = torch.compile(f, backend="eager")
    for _ in range(2):
        assert torch.equal(compiled(one, x), f(other, x))


@pytest.mark.parametrize("backend", backend_parameters(("tensorflow",)))
@both
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_tensorflow_draws_in_graphs_for_lengths_that_are_not_known(backend, law, compiled):
    tf = sys.modules["tensorflow"]
    key = key_of(backend)

    @tf.function(jit_compile=compiled, input_signature=[tf.TensorSpec([None, 3], tf.float16)])
    def f(x):
        made = LAWS[law](key, x, draws=2)
        assert made.shape.as_list() == [2, None, 3]
        return made

    for n in (1, 5):
        first, second = (f(tf.zeros([n, 3], tf.float16)) for _ in range(2))
        assert (first.shape, first.dtype) == ((2, n, 3), tf.float32)
        assert len({*np.ravel(first), *np.ravel(second)}) == 12 * n


@pytest.mark.parametrize("backend", backend_parameters(("dask",)))
@both
def test_dask_draws_in_the_chunks_of_the_scores(backend, law):
    da = sys.modules["dask"].array
    x = da.zeros((4, 6), chunks=(2, 3), dtype="float32")
    for key in (np.random.default_rng(0), da.random.default_rng(0)):
        made = LAWS[law](key, x, draws=(2, 2))
        assert made.chunks[2:] == x.chunks
        values = np.asarray(made)
        assert np.unique(values).size == values.size == 96


class Foreign(np.ndarray):
    """An array class that nothing but an adapter knows."""


@pytest.fixture
def foreign():
    """Scores of a framework that the library is taught, with or without `random`."""

    def taught(**random):
        known = {**vars(tape.adapter_of(np)), "name": "foreign", "owns": lambda x: isinstance(x, Foreign)}
        register_backend(SimpleNamespace(**known | random))
        return np.zeros(3).view(Foreign)

    yield taught
    registry.unregister("foreign")


def test_a_registered_framework_draws_by_its_adapter(foreign):
    x = foreign(random=of_generators(np, lambda x: {}))
    np.testing.assert_array_equal(
        gumbel_noise(np.random.default_rng(0), x), gumbel_noise(np.random.default_rng(0), np.zeros(3))
    )


def test_a_framework_that_does_not_draw_says_what_to_do(foreign):
    x = foreign(random=None)
    text = "`x` must be of a framework whose adapter has `random`, got a Foreign of shape (3,) and dtype float64 of foreign"
    refused(TypeError, text, gumbel_noise, np.random.default_rng(0), x)
    refused(TypeError, "Make the noise by its own functions", normal_noise, None, x)


def refused(error, text, f, *args, **options):
    with pytest.raises(error, match=re.escape(text)):
        f(*args, **options)


KINDS = {
    "torch": ("a torch.Generator", "torch.Generator(x.device).manual_seed(0)"),
    "jax": ("one key of jax.random (several go by `jax.vmap`)", "jax.random.key(0)"),
    "tensorflow": ("a tf.random.Generator", "tf.random.Generator.from_seed(0)"),
    "cupy": ("a cupy.random.Generator", "cupy.random.default_rng(0)"),
    "dask": ("a dask.array.random.Generator", "dask.array.random.default_rng(0)"),
}
KEYED = ("torch", "jax", "tensorflow")  # have keys of their own, and take none of NumPy


@every_framework
@both
def test_what_is_no_key_of_the_framework_is_refused(backend, law):
    x = scores(backend, np.zeros(3))
    kind, example = KINDS.get(backend.name, ("a numpy.random.Generator", "numpy.random.default_rng(0)"))
    of_others = [PRESENT[name] for name in KEYED if name in PRESENT and name != backend.name]
    of_others += [PRESENT["numpy"]] if backend.name in KEYED else []
    for key in (0, None, "0", np.random.RandomState(0), np.random.Generator, np.zeros(3), *map(key_of, of_others)):
        text = f"`key` must be {kind} for an array of {backend.name}, got {described(key)}. Pass such as `{example}`; "
        refused(TypeError, text, LAWS[law], key, x)


@pytest.mark.parametrize("backend", backend_parameters(("jax",)))
def test_several_keys_of_jax_are_refused(backend):
    jax = sys.modules["jax"]
    for keys in (jax.random.split(jax.random.key(0), 5), jax.random.split(jax.random.PRNGKey(0), 5)):
        refused(TypeError, "several go by `jax.vmap`", gumbel_noise, keys, backend.asarray(np.zeros(3)))


@needs("torch")
def test_a_generator_of_torch_on_another_device_is_refused():
    import torch

    from anyargmax._frameworks import binding

    x, key = torch.zeros(3), SimpleNamespace(device=torch.device("cuda", 1))
    text = "`key` must be on the device of `x`, here cpu, got a torch.Generator on cuda:1. Pass such as `torch.Generator('cpu')`."
    refused(ValueError, text, binding.torch.random.integers, key, BOUND, (2,), x)


@needs("dask")
def test_a_generator_of_dask_is_refused_by_arrays_of_numpy():
    import dask.array as da

    refused(TypeError, "`key` must be a numpy.random.Generator", gumbel_noise, da.random.default_rng(0), np.zeros(3))


@every_framework
@pytest.mark.parametrize("draws", [2.0, None, "2", True, (2, False), (2, 3.0), np.zeros(2), ((2,),)], ids=str)
def test_draws_that_are_no_integers_are_refused(backend, draws):
    text = "`draws` must be an integer or a tuple of integers, got "
    refused(TypeError, text, gumbel_noise, key_of(backend), scores(backend, np.zeros(3)), draws=draws)


@every_framework
@pytest.mark.parametrize("draws", [-1, (2, -3)], ids=str)
def test_negative_draws_are_refused(backend, draws):
    text = f"`draws` must be at least 0, got {draws}. Pass how many draws to make, such as `(32,)`."
    refused(ValueError, text, gumbel_noise, key_of(backend), scores(backend, np.zeros(3)), draws=draws)


@both
@pytest.mark.parametrize(
    ("x", "text"),
    [
        ([1.0, 2.0], "`x` must be an array"),
        (None, "`x` must be an array"),
        (np.zeros(3, dtype=bool), "`x` must have a real floating-point or integer dtype, got bool"),
        (np.zeros(3, dtype=complex), "`x` must have a real floating-point or integer dtype, got complex128"),
    ],
    ids=["list", "None", "Boolean", "complex"],
)
def test_what_are_no_real_scores_is_refused(law, x, text):
    refused(TypeError, text, LAWS[law], np.random.default_rng(0), x)


def test_no_call_is_kept_that_holds_a_generator():
    assert noise(np.zeros(3), np.random.default_rng(0), (), "gumbel")[2] is None
