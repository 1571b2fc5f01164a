"""The layers `SoftArgmax` of Keras and PyTorch: they are `soft_argmax`, and good citizens of their framework.

Keras takes one backend a process. Its tests run here on KERAS_BACKEND (PyTorch unless it is set), and once
more in a process of their own for each of the others.
"""

import copy
import importlib
import inspect
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import anyargmax
from anyargmax import soft_argmax

MANDATORY = os.environ.get("ANYARGMAX_BACKENDS", "").split(",")
SOURCE = Path(anyargmax.__file__).parent
USABLE = [name for name in ("torch", "jax", "numpy") if find_spec(name)]
KERAS_BACKEND = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or USABLE[0]
_HOME = tempfile.TemporaryDirectory()
os.environ["KERAS_HOME"] = _HOME.name  # Keras writes a file there, and the user's own one would change the tests

keras = torch = None
if find_spec("keras") or "keras" in MANDATORY:
    keras = importlib.import_module("keras")
    KerasSoftArgmax = importlib.import_module("anyargmax.backends.keras").SoftArgmax
if find_spec("torch") or "torch" in MANDATORY:
    torch = importlib.import_module("torch")
    TorchSoftArgmax = importlib.import_module("anyargmax.backends.torch").SoftArgmax
if keras is not None and KERAS_BACKEND == "jax":
    importlib.import_module("jax").config.update("jax_enable_x64", True)

on_keras = pytest.mark.skipif(keras is None, reason="keras is not installed")
on_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")
differentiates = pytest.mark.skipif(KERAS_BACKEND == "numpy", reason="Keras cannot train on its NumPy backend")
# Keras' own Variable.__array__ lacks the keyword that NumPy 2 asks for; any save or predict meets it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

OPTIONS = [
    pytest.param({}, id="default"),
    pytest.param({"axis": 1}, id="axis"),
    pytest.param({"axis": None}, id="flat"),
    pytest.param({"axis": None, "keepdims": True}, id="flat-keepdims"),
    pytest.param({"axis": 0, "keepdims": True}, id="keepdims"),
    pytest.param({"temperature": 0.3}, id="temperature"),
    pytest.param({"temperature": [[[0.3], [2.0], [0.5]]]}, id="temperatures"),
    pytest.param({"positions": [-1, 0.5, 2, 10.25]}, id="positions"),
    pytest.param({"axis": 1, "positions": [[[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8]]]}, id="position-table"),
    pytest.param({"readout": "median", "temperature": 0.5}, id="median"),
    pytest.param({"hard": True}, id="hard"),
]
BAD_OPTIONS = [
    pytest.param({"axis": 1.5}, TypeError, "`axis` must be an integer", id="axis"),
    pytest.param({"keepdims": 1}, TypeError, "`keepdims` must be", id="keepdims"),
    pytest.param({"temperature": 0}, ValueError, "`temperature` must be greater than 0", id="temperature"),
    pytest.param({"temperature": "hot"}, TypeError, "`temperature` must be", id="temperature-type"),
    pytest.param({"alpha": "soft"}, (TypeError, ValueError), "`alpha` must be", id="alpha"),
    pytest.param({"window": "wide"}, (TypeError, ValueError), "`window` must be", id="window"),
    pytest.param({"readout": "mode"}, ValueError, "`readout` must be", id="readout"),
    pytest.param({"hard": "yes"}, TypeError, "`hard` must be", id="hard"),
    pytest.param({"positions": [True, False]}, TypeError, "`positions` must be", id="positions"),
]
SHAPE = (2, 3, 4)


def as_arrays(options, convert):
    """The options of a layer as `soft_argmax` takes them: arrays for the lists."""
    full = {"axis": -1, **options}
    return {name: convert(value) if isinstance(value, list) else value for name, value in full.items()}


def difference_quotient(f, x, direction, step=1e-6):
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


def run_python(code, **environment):
    """Run code in a fresh interpreter that finds the library."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE.parent), **environment}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, check=False
    )


# ---------------------------------------------------------------------------------------------- Keras


def tensor(values, dtype="float64"):
    return keras.ops.convert_to_tensor(np.asarray(values), dtype=dtype)


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def keras_layer(**options):
    return KerasSoftArgmax(dtype="float64", **options)


@on_keras
@pytest.mark.parametrize("options", OPTIONS)
def test_keras_value_is_that_of_the_function(rng, options):
    x = tensor(rng.normal(size=SHAPE))
    actual = keras_layer(**options)(x)
    expected = soft_argmax(x, **as_arrays(options, tensor))
    assert type(actual) is type(expected)
    assert actual.dtype == expected.dtype
    assert tuple(actual.shape) == tuple(expected.shape)
    np.testing.assert_array_equal(numpy(actual), numpy(expected))


@on_keras
@differentiates
@pytest.mark.parametrize("options", OPTIONS)
def test_keras_gradient_is_that_of_the_function(rng, options):
    x = tensor(rng.normal(size=SHAPE))
    layer = keras_layer(**options)
    value, pullback = anyargmax.vjp(layer, x)
    _, expected = anyargmax.vjp(lambda x: soft_argmax(x, **as_arrays(options, tensor)), x)
    g = tensor(rng.normal(size=tuple(value.shape)))
    gradient = numpy(pullback(g)[0])
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_array_equal(gradient, numpy(expected(g)[0]))


@on_keras
@differentiates
@pytest.mark.parametrize("options", [option for option in OPTIONS if option.id != "hard"])
def test_keras_gradient_is_the_difference_quotient(rng, options):
    x, direction = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    layer = keras_layer(**options)
    value, pullback = anyargmax.vjp(layer, tensor(x))
    g = rng.normal(size=tuple(value.shape))
    slope = difference_quotient(lambda x: np.sum(g * numpy(layer(tensor(x)))), x, direction)
    np.testing.assert_allclose(np.sum(numpy(pullback(tensor(g))[0]) * direction), slope, rtol=1e-7, atol=1e-8)


@on_keras
@pytest.mark.parametrize("options", OPTIONS)
def test_keras_symbolic_shape_and_dtype_are_the_actual_ones(rng, options):
    layer = keras_layer(**options)
    x = rng.normal(size=SHAPE)
    spec = layer(keras.Input(batch_shape=SHAPE, dtype="float64"))
    actual = layer(tensor(x))
    assert spec.shape == tuple(actual.shape) == layer.compute_output_shape(SHAPE)
    assert spec.dtype == keras.backend.standardize_dtype(actual.dtype) == "float64"


@on_keras
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (None, None)),
        ({"axis": 1}, (None, 4)),
        ({"axis": -2, "keepdims": True}, (None, 1, 4)),
        ({"keepdims": True}, (None, None, 1)),
        ({"axis": None}, ()),
        ({"axis": None, "keepdims": True}, (1, 1, 1)),
    ],
)
def test_keras_shape_keeps_unknown_lengths(options, expected):
    layer = KerasSoftArgmax(**options)
    assert layer.compute_output_shape((None, None, 4)) == expected
    assert layer(keras.Input((None, 4))).shape == expected


@on_keras
def test_keras_axis_is_checked_when_the_model_is_built():
    with pytest.raises(ValueError, match=re.escape("`axis` must be in [-2, 1] for shape (None, 4), got 2")):
        KerasSoftArgmax(axis=2)(keras.Input((4,)))


@on_keras
@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS)
def test_keras_bad_option_is_refused_by_the_constructor(options, error, message):
    with pytest.raises(error, match=message):
        KerasSoftArgmax(**options)


@on_keras
def test_keras_unknown_option_is_refused():
    with pytest.raises(ValueError, match="beta"):
        KerasSoftArgmax(beta=1.0)


@on_keras
@pytest.mark.parametrize("option", ["temperature", "positions"])
def test_keras_variable_is_refused_rather_than_frozen(option):
    with pytest.raises(TypeError, match=f"`{option}` must be a number or a constant array, got a Variable"):
        KerasSoftArgmax(**{option: keras.Variable([1.0, 2.0])})


@on_keras
@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("mixed_float16", "float32"),
        pytest.param("mixed_bfloat16", "float32", marks=differentiates),  # NumPy has no bfloat16 of its own
    ],
)
def test_keras_dtype_is_that_of_the_policy_but_at_least_float32(policy, expected, dtype):
    x = np.zeros((2, 700), dtype)
    x[:, 641] = 40
    layer = KerasSoftArgmax(dtype=policy)
    actual = layer(tensor(x, dtype))
    assert keras.backend.standardize_dtype(actual.dtype) == layer(keras.Input((700,), dtype=dtype)).dtype == expected
    np.testing.assert_allclose(numpy(actual), 641, rtol=4e-7)


@on_keras
def test_keras_positions_are_not_rounded_to_the_policys_half_precision():
    layer = KerasSoftArgmax(positions=np.arange(2049.0, 2053.0), hard=True, dtype="mixed_float16")
    assert numpy(layer(tensor([[0.0, 0, 1, 0]], "float32"))).tolist() == [2051]


CONFIGURATIONS = [
    pytest.param({"axis": np.int64(1), "keepdims": True, "temperature": np.float32(0.5), "hard": True}, id="numbers"),
    pytest.param({"readout": "median", "positions": np.asarray([0, 2, 3, 5]), "name": "where"}, id="positions"),
    pytest.param({"temperature": np.asarray([[0.1], [2.0], [1.0]]), "dtype": "mixed_float16"}, id="temperatures"),
    pytest.param({"axis": None, "positions": (0.1, 0.2, 0.3, 0.4) * 3, "trainable": False}, id="tuple"),
]


@on_keras
@pytest.mark.parametrize("options", CONFIGURATIONS)
def test_keras_config_is_plain_and_rebuilds_the_layer(rng, options):
    layer = KerasSoftArgmax(**options)
    config = layer.get_config()
    again = KerasSoftArgmax.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    for name in options:
        assert config.get(name) is not None or options[name] is None
    x = tensor(rng.normal(size=(1, 3, 4)), "float32")
    np.testing.assert_array_equal(numpy(again(x)), numpy(layer(x)))
    defaults = KerasSoftArgmax().get_config()
    assert {name for name in config if config[name] != defaults[name]} - {"name"} == set(options) - {"name"}


def seed_model(**options):
    """The model of the project's beginning, whose argmax had no gradient."""
    words = keras.Input((None,), dtype="int32")
    h = keras.layers.Embedding(10, 3, mask_zero=options.pop("mask_zero", False))(words)
    h = keras.layers.LSTM(20, return_sequences=True)(h)
    h = keras.layers.TimeDistributed(keras.layers.Dense(7))(h)
    return keras.Model(words, KerasSoftArgmax(**options)(h))


WORDS = np.asarray([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])


@on_keras
@differentiates
@pytest.mark.parametrize("options", [{}, {"hard": True}, {"readout": "median"}], ids=["mean", "hard", "median"])
def test_keras_fit_trains_every_weight(options):
    keras.utils.set_random_seed(3)
    model = seed_model(temperature=0.5, **options)
    model.compile(keras.optimizers.SGD(0.3), "mse")
    before = model.get_weights()
    losses = model.fit(WORDS, np.full(WORDS.shape, 5.0), epochs=8, verbose=0).history["loss"]
    # The median stands still where one position already has most of the weight, so it need only move.
    assert losses[-1] < losses[0] * (1 if options.get("readout") else 0.9)
    assert len(before) == 6
    for weight, was in zip(model.get_weights(), before, strict=True):
        assert np.abs(weight - was).max() > 1e-6


@on_keras
@differentiates
def test_keras_model_survives_saving_and_cloning(tmp_path):
    keras.utils.set_random_seed(4)
    model = seed_model(temperature=0.3, positions=[0, 1, 2, 4, 8, 16, 32])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is KerasSoftArgmax
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for other in (loaded, cloned):
        np.testing.assert_array_equal(other.predict(WORDS, verbose=0), model.predict(WORDS, verbose=0))


@pytest.fixture
def vendored(tmp_path, monkeypatch):
    """The Keras module of a renamed copy of the library, in this process."""
    shutil.copytree(SOURCE, tmp_path / "host" / "diffmax")
    if (SOURCE / "backends.py").is_file():  # a checkout has the folder beside the package
        shutil.copytree(SOURCE.parent / "backends", tmp_path / "host" / "backends")
    monkeypatch.syspath_prepend(tmp_path / "host")
    registry = dict(keras.saving.get_custom_objects())
    yield importlib.import_module("diffmax.backends.keras")
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(registry)
    for name in [name for name in sys.modules if name.partition(".")[0] == "diffmax"]:
        del sys.modules[name]


@on_keras
@differentiates
def test_keras_model_of_one_copy_of_the_library_loads_with_another(tmp_path, vendored):
    model = seed_model(temperature=0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is vendored.SoftArgmax is not KerasSoftArgmax
    np.testing.assert_array_equal(loaded.predict(WORDS, verbose=0), model.predict(WORDS, verbose=0))
    name = keras.saving.get_registered_name(KerasSoftArgmax)
    assert "anyargmax" not in name
    keras.saving.get_custom_objects()[name] = KerasSoftArgmax
    chosen = keras.models.load_model(tmp_path / "model.keras")
    assert type(chosen.layers[-1]) is KerasSoftArgmax


# Keras masks


def padded(rng, values, axis, **options):
    """A model of word numbers (0 is padding) to scores, `SoftArgmax`, and the Keras mask that comes out of it.

    Without a mask the second output is all -1.
    """

    class Scores(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="float64")
            self.supports_masking = True

        def call(self, words):
            return tensor(values) + 0 * keras.ops.cast(words, "float64")[(..., *(None,) * (values.ndim - 2))]

        def compute_output_spec(self, words):
            return keras.KerasTensor((*words.shape, *values.shape[2:]), dtype="float64")

        def compute_mask(self, words, previous=None):
            return keras.ops.not_equal(words, 0)

    class Seen(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="float64")
            self.supports_masking = True

        def call(self, positions, mask=None):
            return positions * 0 - 1 if mask is None else keras.ops.cast(mask, "float64")

        def compute_output_spec(self, positions, mask=None):
            return keras.KerasTensor(positions.shape if mask is None else mask.shape, dtype="float64")

    words = keras.Input((values.shape[1],), batch_size=values.shape[0], dtype="int32")
    positions = keras_layer(axis=axis, **options)(Scores()(words))
    return keras.Model(words, [positions, Seen()(positions)])


@on_keras
@pytest.mark.parametrize("keepdims", [False, True])
def test_keras_mask_of_steps_is_passed_on_when_features_are_reduced(rng, keepdims):
    values = rng.normal(size=(2, 5, 4))
    positions, mask = padded(rng, values, -1, keepdims=keepdims)(WORDS)
    np.testing.assert_array_equal(numpy(positions), numpy(soft_argmax(tensor(values), axis=-1, keepdims=keepdims)))
    np.testing.assert_array_equal(numpy(mask), WORDS != 0)


@on_keras
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 4), (2, 5, 4, 3)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_keras_padded_steps_are_no_candidates_when_time_is_reduced(rng, shape, keepdims):
    values = rng.normal(size=shape)
    keep = (WORDS != 0).reshape(2, 5, *[1] * (len(shape) - 2))
    values[np.broadcast_to(~keep, shape)] = 1e30
    positions, mask = padded(rng, values, 1, keepdims=keepdims)(WORDS)
    expected = soft_argmax(tensor(values), axis=1, mask=tensor(keep, "bool"), keepdims=keepdims)
    np.testing.assert_array_equal(numpy(positions), numpy(expected))
    assert numpy(positions)[0].max() <= 2
    assert (numpy(mask) == -1).all()


@on_keras
def test_keras_padded_steps_are_no_candidates_when_everything_is_reduced(rng):
    values = rng.normal(size=(2, 5, 4))
    positions, mask = padded(rng, values, None)(WORDS)
    expected = soft_argmax(tensor(values), mask=tensor((WORDS != 0)[..., None], "bool"))
    np.testing.assert_array_equal(numpy(positions), numpy(expected))
    assert numpy(mask) == -1


@on_keras
@differentiates
def test_keras_sample_of_nothing_but_padding_is_nan_and_spoils_no_other(rng):
    values, keep = rng.normal(size=(2, 5)), np.asarray([[False] * 5, [True] * 4 + [False]])
    layer = keras_layer()
    positions, pullback = anyargmax.vjp(lambda x: layer(x, mask=tensor(keep, "bool")), tensor(values))
    gradient = numpy(pullback(tensor([2.0, 3.0]))[0])
    assert np.isnan(numpy(positions)).tolist() == [True, False]
    assert (gradient[0] == 0).all()
    assert (gradient[1, :4] != 0).all()
    assert gradient[1, 4] == 0


@on_keras
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 4), (2, 1, 4)], ids=str)
def test_keras_mask_of_the_scores_rank_masks_scores(rng, shape):
    x, keep = rng.normal(size=SHAPE), rng.uniform(size=shape) < 0.6
    keep[..., 1] = True
    layer = keras_layer()
    expected = soft_argmax(tensor(x), axis=-1, mask=tensor(keep, "bool"))
    assert np.abs(numpy(expected) - numpy(layer(tensor(x)))).max() > 0.01
    np.testing.assert_array_equal(numpy(layer(tensor(x), mask=tensor(keep, "bool"))), numpy(expected))
    np.testing.assert_array_equal(numpy(layer(tensor(x), tensor(keep, "bool"))), numpy(expected))
    assert layer.compute_mask(tensor(x), tensor(keep, "bool")) is None


@on_keras
def test_keras_mask_can_be_an_input_of_the_model(rng):
    x, keep = rng.normal(size=(3, 4)), np.asarray([[True, False, True, True]] * 3)
    scores, mask = keras.Input((4,), dtype="float64"), keras.Input((4,), dtype="bool")
    model = keras.Model([scores, mask], keras_layer()(scores, mask=mask))
    expected = soft_argmax(tensor(x), axis=-1, mask=tensor(keep, "bool"))
    np.testing.assert_array_equal(numpy(model([tensor(x), tensor(keep, "bool")])), numpy(expected))


@on_keras
@pytest.mark.parametrize(
    ("options", "mask", "passed_on"),
    [
        ({}, (2, 3), True),
        ({}, (2,), True),
        ({"axis": 2, "keepdims": True}, (2, 3), True),
        ({"axis": 1}, (2, 3), False),
        ({"axis": -2, "keepdims": True}, (2, 3), False),
        ({"axis": 1}, (2,), True),
        ({"axis": 0}, (2, 3), False),
        ({"axis": None}, (2, 3), False),
        ({}, (2, 3, 4), False),
    ],
)
def test_keras_mask_is_passed_on_if_its_axes_are_left(options, mask, passed_on):
    mask = tensor(np.ones(mask), "bool")
    passed = KerasSoftArgmax(**options).compute_mask(keras.KerasTensor(SHAPE), mask)
    assert passed is (mask if passed_on else None)
    assert KerasSoftArgmax(**options).compute_mask(keras.KerasTensor(SHAPE), None) is None


@on_keras
@pytest.mark.parametrize(
    ("shape", "mask", "message"),
    [
        ((4, 4), (4,), "`mask` must have the rank of the scores, 2, or be a Keras mask"),
        ((2, 3, 4), (3, 4), r"`mask` must have the rank of the scores or the shape \(2, 3\)"),
        ((2, 3, 4), (2, 3, 5), "`mask` must broadcast against"),
        ((3, 4), (2, 3, 4), "`mask` must broadcast against"),
    ],
    ids=str,
)
def test_keras_mask_of_a_wrong_shape_is_refused(shape, mask, message):
    with pytest.raises(ValueError, match=message):
        KerasSoftArgmax()(tensor(np.zeros(shape), "float32"), mask=tensor(np.ones(mask), "bool"))


@on_keras
def test_keras_mask_must_be_boolean():
    with pytest.raises(TypeError, match="`mask` must be a boolean array"):
        KerasSoftArgmax()(tensor(np.zeros((2, 3)), "float32"), mask=tensor(np.ones((2, 3)), "float32"))


@on_keras
def test_keras_wrapped_in_time_distributed_it_is_the_same():
    keras.utils.set_random_seed(5)
    words = keras.Input((5,), dtype="int32")
    scores = keras.layers.Embedding(10, 7, mask_zero=True)(words)
    each = keras.layers.TimeDistributed(KerasSoftArgmax(temperature=0.01))(scores)
    assert each.shape == (None, 5)
    steps, whole = keras.Model(words, [each, KerasSoftArgmax(temperature=0.01)(scores)])(WORDS)
    np.testing.assert_allclose(numpy(steps), numpy(whole), rtol=1e-6)


@on_keras
@differentiates
def test_keras_padded_steps_take_no_part_in_the_loss():
    keras.utils.set_random_seed(6)
    model = seed_model(mask_zero=True, keepdims=True)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    target = np.arange(10.0).reshape(2, 5, 1)
    errors = (model.predict(WORDS, verbose=0) - target)[WORDS != 0] ** 2
    np.testing.assert_allclose(model.evaluate(WORDS, target, verbose=0), errors.mean(), rtol=1e-5)
    losses = model.fit(WORDS, target, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


# What Keras may lack


@on_keras
def test_keras_tensor_of_an_unknown_framework_is_refused_with_the_way_out():
    class Tensor:
        shape, dtype = (2, 3), "float32"

    with pytest.raises(TypeError, match=f"got a Tensor of .* on the Keras backend '{KERAS_BACKEND}'.*KERAS_BACKEND to"):
        KerasSoftArgmax().call(Tensor())


@on_keras
@pytest.mark.parametrize(
    ("chosen", "message"),
    [("", "with KERAS_BACKEND not set, which means TensorFlow"), ("tensorflow", "KERAS_BACKEND set to 'tensorflow'")],
)
def test_keras_without_a_usable_backend_says_which_setting_is_missing(tmp_path, chosen, message):
    code = "import sys; sys.modules['tensorflow'] = None; import anyargmax.backends.keras"
    done = run_python(code, KERAS_BACKEND=chosen, KERAS_HOME=str(tmp_path))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: Keras must have a usable backend")
    assert message in last
    assert 'Set the environment variable KERAS_BACKEND to "torch" or "jax" before Keras is first imported' in last


def test_keras_that_is_not_installed_is_named():
    done = run_python("import sys; sys.modules['keras'] = None; import anyargmax.backends.keras")
    assert done.returncode == 1
    assert "ImportError: Keras 3 is needed" in done.stderr.strip().splitlines()[-1]


@on_keras
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(name not in USABLE, reason=f"{name} is not installed"))
        for name in ("torch", "jax", "numpy")
        if name != KERAS_BACKEND
    ],
)
def test_keras_tests_pass_on_another_backend(name, request):
    here = "test_keras_ and not on_another_backend and not (fit_trains and (median or hard))"  # one of three is trained
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", here, __file__]
    done = subprocess.run(
        command,
        env={**os.environ, "KERAS_BACKEND": name},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    passed, skipped = (int("0" + "".join(re.findall(rf"(\d+) {word}", done.stdout))) for word in ("passed", "skipped"))
    assert passed > 60
    assert skipped == 0 or name == "numpy", done.stdout


# -------------------------------------------------------------------------------------------- PyTorch


def double(values):
    return torch.asarray(np.asarray(values), dtype=torch.float64)


@on_torch
def test_torch_takes_the_options_that_the_function_has():
    function, layer = inspect.signature(soft_argmax).parameters, inspect.signature(TorchSoftArgmax).parameters
    assert list(layer) == [name for name in function if name not in ("x", "mask")]
    assert layer["axis"].default == -1
    with pytest.raises(TypeError, match=r"`SoftArgmax` must be given options out of keepdims, .* got 'temprature'"):
        TorchSoftArgmax(temprature=1.0)


@on_torch
@pytest.mark.parametrize("options", OPTIONS)
def test_torch_value_and_gradient_are_those_of_the_function(rng, options):
    x = double(rng.normal(size=SHAPE)).requires_grad_()
    held = {name: double(value) if name == "temperature" else value for name, value in options.items()
            if isinstance(value, list)}  # fmt: skip
    actual = TorchSoftArgmax(**{**options, **held})(x)
    expected = soft_argmax(x, **as_arrays(options, double))
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert torch.equal(actual, expected)
    g = double(rng.normal(size=actual.shape))
    (gradient,) = torch.autograd.grad(actual, x, g)
    assert gradient.abs().max() > 1e-3
    assert torch.equal(gradient, *torch.autograd.grad(expected, x, g))


@on_torch
@pytest.mark.parametrize("readout", ["mean", "median"])
def test_torch_gradients_are_difference_quotients(rng, readout):
    module = TorchSoftArgmax(
        axis=1,
        readout=readout,
        temperature=torch.nn.Parameter(double(rng.uniform(0.3, 0.9, size=(1, 4)))),
        positions=torch.nn.Parameter(double([0.0, 1.5, 4.0])),
    )
    assert [name for name, _ in module.named_parameters()] == ["temperature", "positions"]
    x = double(rng.normal(size=SHAPE)).requires_grad_()
    mask = torch.asarray(rng.uniform(size=SHAPE) < 0.8)
    mask[:, 0] = True

    def f(x, temperature, positions):
        return torch.func.functional_call(module, {"temperature": temperature, "positions": positions}, (x, mask))

    assert torch.autograd.gradcheck(f, (x, module.temperature, module.positions))


@on_torch
def test_torch_mask_is_that_of_the_function(rng):
    x, mask = double(rng.normal(size=SHAPE)), torch.asarray([True, False, True, True])
    expected = soft_argmax(x, axis=-1, mask=mask)
    assert torch.equal(TorchSoftArgmax()(x, mask), expected)
    assert torch.equal(TorchSoftArgmax()(x, mask=mask), expected)


@on_torch
@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS)
def test_torch_bad_option_is_refused_by_the_constructor(options, error, message):
    with pytest.raises(error, match=message):
        TorchSoftArgmax(**options)


@on_torch
def test_torch_bad_temperature_parameter_is_refused_by_the_constructor():
    with pytest.raises(ValueError, match="`temperature` must be greater than 0 everywhere"):
        TorchSoftArgmax(temperature=torch.nn.Parameter(torch.tensor([[1.0], [-1.0]])))


def trained_module(**options):
    return TorchSoftArgmax(temperature=torch.nn.Parameter(torch.tensor(0.5)), positions=[0.0, 1.0, 2.5, 7.0], **options)


@on_torch
@pytest.mark.parametrize("options", [{}, {"hard": True}, {"readout": "median"}], ids=["mean", "hard", "median"])
def test_torch_module_compiles_whole(rng, options):
    module = trained_module(**options)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32).requires_grad_()
    mask = torch.asarray([True, True, False, True])
    g = torch.asarray(rng.normal(size=SHAPE[:-1]), dtype=torch.float32)
    for arguments in ((x,), (x, mask)):
        expected, actual = module(*arguments), compiled(*arguments)
        torch.testing.assert_close(actual, expected)
        wanted = (x, module.temperature)
        torch.testing.assert_close(torch.autograd.grad(actual, wanted, g), torch.autograd.grad(expected, wanted, g))


@on_torch
@pytest.mark.parametrize("strict", [False, True])
def test_torch_module_exports_with_any_batch(rng, strict):
    module = trained_module()
    x = torch.asarray(rng.normal(size=(5, 4)), dtype=torch.float32)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(module, (x[:3],), dynamic_shapes=({0: batch},), strict=strict)
    assert {"temperature", "positions"} <= set(program.state_dict)
    torch.testing.assert_close(program.module()(x), module(x))


@on_torch
def test_torch_functional_call_and_vmap_take_temperatures_from_outside(rng):
    module = trained_module()
    x, temperatures = double(rng.normal(size=SHAPE)), double([0.2, 3.0])
    call = torch.func.vmap(lambda t, x: torch.func.functional_call(module, {"temperature": t}, (x,)))
    positions = module.positions.double()
    expected = [soft_argmax(x[k], axis=-1, temperature=temperatures[k], positions=positions) for k in range(2)]
    torch.testing.assert_close(call(temperatures, x), torch.stack(expected))
    assert module.temperature.item() == 0.5


@on_torch
def test_torch_module_survives_copying_pickling_and_its_state(rng):
    module = trained_module(keepdims=True)
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32)
    saved = io.BytesIO()
    torch.save(module, saved)
    saved.seek(0)
    other = TorchSoftArgmax(temperature=torch.nn.Parameter(torch.tensor(9.0)), positions=[1.0] * 4, keepdims=True)
    assert not torch.equal(other(x), module(x))
    assert list(module.state_dict()) == ["temperature", "positions"]
    other.load_state_dict(module.state_dict())
    restored = torch.load(saved, weights_only=False)
    for again in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module)), restored):
        assert torch.equal(again(x), module(x))
        assert again.temperature is not module.temperature
        assert isinstance(again.temperature, torch.nn.Parameter)


@on_torch
def test_torch_state_does_not_write_into_the_callers_array():
    positions = np.asarray([0.0, 1.0])
    module = TorchSoftArgmax(positions=positions)
    module.load_state_dict({"positions": torch.tensor([5.0, 6.0])})
    assert positions.tolist() == [0, 1]
    assert module.positions.tolist() == [5, 6]


@on_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_torch_positions_keep_their_dtype(dtype):
    positions = np.arange(2049, 2053, dtype="float32")
    module = TorchSoftArgmax(positions=positions, hard=True).to(getattr(torch, dtype))
    y = module(torch.tensor([[0, 0, 1, 0]], dtype=getattr(torch, dtype)))
    assert y.tolist() == [2051]
    assert y.dtype == (torch.float64 if dtype == "float64" else torch.float32)


@on_torch
def test_torch_tensors_follow_the_module():
    module = TorchSoftArgmax(positions=[0.0, 1.0], temperature=torch.ones(1)).to("meta", torch.bfloat16)
    assert (module.positions.device.type, module.temperature.device.type) == ("meta", "meta")
    assert (module.positions.dtype, module.temperature.dtype) == (torch.float32, torch.bfloat16)
    assert module(torch.empty(3, 2, device="meta")).shape == (3,)


@on_torch
def test_torch_temperature_is_trained(rng):
    x = torch.asarray(rng.normal(size=(64, 6)), dtype=torch.float32)
    target = soft_argmax(x, axis=-1, temperature=0.7)
    module = TorchSoftArgmax(temperature=torch.nn.Parameter(torch.tensor(1.5)))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(x), target).backward()
        optimizer.step()
    assert module.temperature.item() == pytest.approx(0.7, abs=0.01)


@on_torch
def test_torch_module_shows_what_is_not_the_default():
    assert repr(TorchSoftArgmax()) == "SoftArgmax(axis=-1)"
    shown = repr(trained_module(readout="median", hard=True, axis=None))
    assert shown == "SoftArgmax(axis=None, temperature=Parameter(), positions=Tensor(4,), readout='median', hard=True)"


@on_torch
def test_torch_module_compiles_on_a_cold_start_as_the_first_import():
    code = """
from anyargmax.backends.torch import SoftArgmax
import torch
x = torch.tensor([[0.0, 3.0, 1.0], [4.0, 0.0, 0.0]])
module = torch.nn.Sequential(torch.nn.Identity(), SoftArgmax(temperature=0.5))
compiled = torch.compile(module, fullgraph=True, backend="eager")
torch.testing.assert_close(compiled(x), module(x))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


ALIKE = [
    ({"axis": np.int64(-2)}, {"axis": -2}),
    ({"window": (1,)}, {"window": 1}),
    ({"window": [1]}, {"window": 1}),
    ({"window": np.int64(1)}, {"window": 1}),
    ({"hard": np.True_, "keepdims": np.True_}, {"hard": True, "keepdims": True}),
]
SCORES = np.asarray([[0.0, 1.0, 0.5], [2.0, 0.0, 1.0]])


@pytest.mark.parametrize(("given", "meant"), ALIKE, ids=str)
def test_options_of_numpy_and_in_tuples_are_options_of_both_layers(given, meant):
    expected = soft_argmax(SCORES, **({"axis": -1} | meant))
    np.testing.assert_allclose(numpy(TorchSoftArgmax(**given)(tensor(SCORES))), expected, rtol=0, atol=1e-15)
    layer = keras_layer(**given)
    np.testing.assert_allclose(numpy(layer(tensor(SCORES))), expected, rtol=0, atol=1e-6)
    rebuilt = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    np.testing.assert_array_equal(numpy(rebuilt(tensor(SCORES))), numpy(layer(tensor(SCORES))))


def test_both_layers_take_an_array_of_alphas_beside_temperatures_and_positions():
    options = {
        "alpha": np.asarray([[1.5], [2.0]]),
        "temperature": np.asarray([[0.5], [2.0]]),
        "positions": np.asarray([1.0, 2.0, 4.0]),
    }
    expected = soft_argmax(SCORES, axis=-1, **options)
    module = TorchSoftArgmax(**{name: tensor(value) for name, value in options.items()})
    assert set(module.state_dict()) == set(options)
    np.testing.assert_allclose(numpy(module(tensor(SCORES))), expected, rtol=0, atol=1e-15)
    layer = keras_layer(**options)
    np.testing.assert_allclose(numpy(layer(tensor(SCORES))), expected, rtol=0, atol=1e-6)
    for layer in (module, keras_layer(positions=[1.0, 2.0, 4.0])):
        alone = layer if layer is not module else TorchSoftArgmax(positions=[1.0, 2.0, 4.0])
        assert tuple(alone(tensor(SCORES[:0])).shape) == (0,)


def test_torch_alpha_is_trained(rng):
    module = TorchSoftArgmax(alpha=torch.nn.Parameter(tensor(1.5)))
    module(tensor(SCORES)).sum().backward()
    assert module.alpha.grad != 0
    with pytest.raises(ValueError, match="`alpha` must be at least 1 everywhere"):
        TorchSoftArgmax(alpha=torch.nn.Parameter(tensor(0.5)))
