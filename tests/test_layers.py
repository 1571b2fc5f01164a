"""The layers of Keras and PyTorch: they are the functions of their names, and good citizens of their framework.

Keras takes one backend a process. Its tests run here on KERAS_BACKEND (PyTorch unless it is set), and once
more in a process of their own for each of the others.
"""

import copy
import doctest
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
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import KERAS_BACKEND, KERAS_BACKENDS

import anyargmax
from anyargmax import soft_argmax, spatial_soft_argmax

MANDATORY = os.environ.get("ANYARGMAX_BACKENDS", "").split(",")
SOURCE = Path(anyargmax.__file__).parent

keras = torch = None
if find_spec("keras") or "keras" in MANDATORY:
    keras = importlib.import_module("keras")
    assert keras.config.backend() == KERAS_BACKEND
    keras_layers = importlib.import_module("anyargmax.backends.keras")
    KerasSoftArgmax = keras_layers.SoftArgmax
    KERAS = {soft_argmax: KerasSoftArgmax, spatial_soft_argmax: keras_layers.SpatialSoftArgmax}
if find_spec("torch") or "torch" in MANDATORY:
    torch = importlib.import_module("torch")
    torch_layers = importlib.import_module("anyargmax.backends.torch")
    TorchSoftArgmax = torch_layers.SoftArgmax
    TORCH = {soft_argmax: TorchSoftArgmax, spatial_soft_argmax: torch_layers.SpatialSoftArgmax}
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
    pytest.param({"alpha": 1.5}, id="alpha"),
    pytest.param({"window": 1}, id="window"),
    pytest.param({"zero_background": True}, id="background"),
]
MAP_OPTIONS = [
    pytest.param({}, id="map"),
    pytest.param({"axes": (-1, -2)}, id="map-x-before-y"),
    pytest.param({"axes": (1,), "coordinates": "center"}, id="map-of-one-axis"),
    pytest.param({"axes": (0, -1, 1), "coordinates": "corner"}, id="map-of-all-axes"),
    pytest.param({"temperature": 0.3, "alpha": 1.5}, id="map-alpha"),
    pytest.param({"temperature": [[[0.3]], [[2.0]]], "axes": (1, 2)}, id="map-temperatures"),
    pytest.param({"alpha": [[[1.5]], [[2.0]]]}, id="map-alphas"),
    pytest.param({"temperature": [0.5], "axes": (2, 0)}, id="map-one-temperature"),
    pytest.param({"window": (1, 2)}, id="map-window"),
    pytest.param({"zero_background": True, "temperature": 0.5}, id="map-background"),
    pytest.param({"readout": "median", "temperature": 0.5}, id="map-median"),
    pytest.param({"readout": "moments", "axes": (2, 1), "coordinates": "corner"}, id="map-moments"),
    pytest.param({"readout": "covariance", "axes": (2, 1)}, id="map-covariance"),
    pytest.param({"hard": True}, id="map-hard"),
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
BAD_MAP_OPTIONS = [
    pytest.param({"axes": -1}, TypeError, "`axes` must be a tuple of one or more integers", id="map-axis"),
    pytest.param({"axes": None}, TypeError, "`axes` must be a tuple .* got None", id="map-all"),
    pytest.param({"axes": ()}, TypeError, "`axes` must be a tuple", id="map-nothing"),
    pytest.param({"axes": (0, 1.5)}, TypeError, "`axes` must be an integer", id="map-axes-type"),
    pytest.param({"axes": (-1, 3, -1)}, ValueError, "`axes` must be distinct", id="map-axes"),
    pytest.param({"coordinates": "pixel"}, ValueError, "`coordinates` must be", id="map-coordinates"),
    pytest.param({"temperature": -1.0}, ValueError, "`temperature` must be greater than 0", id="map-temperature"),
    pytest.param({"window": (1, 2, 3)}, ValueError, "`window` must be", id="map-window"),
    pytest.param({"zero_background": True, "alpha": 2}, ValueError, "`zero_background` must", id="map-background"),
    pytest.param({"readout": "mode"}, ValueError, "`readout` must be", id="map-readout"),
    pytest.param({"readout": "moments", "hard": True}, ValueError, "`hard` must be False", id="map-hard"),
]
SHAPE = (2, 3, 4)


def of(function, parameters):
    """Parameters of a test with the function of their layer before them."""
    return [pytest.param(function, *parameter.values, id=parameter.id) for parameter in parameters]


CASES = of(soft_argmax, OPTIONS) + of(spatial_soft_argmax, MAP_OPTIONS)
SMOOTH = [case for case in CASES if not case.id.endswith("hard")]
BAD = of(soft_argmax, BAD_OPTIONS) + of(spatial_soft_argmax, BAD_MAP_OPTIONS)
both = pytest.mark.parametrize("function", [soft_argmax, spatial_soft_argmax], ids=["position", "map"])


def as_arrays(function, options, convert):
    """The options of a layer as its function takes them: arrays for the lists."""
    full = ({"axis": -1} if function is soft_argmax else {}) | options
    return {name: convert(value) if isinstance(value, list) else value for name, value in full.items()}


def scores(rng, options):
    """Scores that the options allow."""
    values = rng.normal(size=SHAPE)
    return np.abs(values) if options.get("zero_background") else values


def pieces(answer):
    """The arrays of an answer: one, or two in a tuple."""
    return tuple(answer) if isinstance(answer, (tuple, list)) else (answer,)


def assert_same(actual, expected, convert):
    """Answers have the same type, dtypes, shapes and values."""
    assert type(actual) is type(expected)
    for one, other in zip(pieces(actual), pieces(expected), strict=True):
        assert (type(one), one.dtype, tuple(one.shape)) == (type(other), other.dtype, tuple(other.shape))
        np.testing.assert_array_equal(convert(one), convert(other))


def takes_the_options(function, layer):
    """A layer has the parameters of its function, but for what comes with a call; the axis may be given by position."""
    given, taken = inspect.signature(function).parameters, dict(inspect.signature(layer).parameters)
    taken.pop("kwargs", None)
    axis, *options = taken
    assert [axis, *options] == [name for name in given if name not in ("x", "mask", "group")]
    assert all(taken[name] == given[name] for name in options)
    assert taken[axis].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert taken[axis].default == {"axis": -1, "axes": (-2, -1)}[axis]
    for chosen in (0, None) if axis == "axis" else ((0,), (2, 1)):
        assert getattr(layer(chosen), axis) == getattr(layer(**{axis: chosen}), axis) == chosen
    assert getattr(layer(), axis) == taken[axis].default


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


def keras_layer(function=soft_argmax, **options):
    return KERAS[function](dtype="float64", **options)


def keras_joined(answer):
    """The numbers of an answer, of two arrays one after the other."""
    if not isinstance(answer, tuple):
        return answer
    return keras.ops.concatenate([keras.ops.reshape(piece, (-1,)) for piece in answer])


@on_keras
def test_keras_examples_of_the_layers_print_what_they_say():
    assert doctest.testmod(keras_layers) == (0, 7)


@on_keras
@both
def test_keras_takes_the_options_that_the_function_has(function):
    takes_the_options(function, KERAS[function])
    assert list(inspect.signature(KERAS[function]).parameters)[-1] == "kwargs"


@on_keras
@pytest.mark.parametrize(("function", "options"), CASES)
def test_keras_value_is_that_of_the_function(rng, function, options):
    x = tensor(scores(rng, options))
    expected = function(x, **as_arrays(function, options, tensor))
    assert_same(keras_layer(function, **options)(x), expected, numpy)


@on_keras
@differentiates
@pytest.mark.parametrize(("function", "options"), CASES)
def test_keras_gradient_is_that_of_the_function(rng, function, options):
    x = tensor(scores(rng, options))
    layer = keras_layer(function, **options)
    value, pullback = anyargmax.vjp(lambda x: keras_joined(layer(x)), x)
    _, expected = anyargmax.vjp(lambda x: keras_joined(function(x, **as_arrays(function, options, tensor))), x)
    g = tensor(rng.normal(size=tuple(value.shape)))
    gradient = numpy(pullback(g)[0])
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_array_equal(gradient, numpy(expected(g)[0]))


@on_keras
@differentiates
@pytest.mark.parametrize(("function", "options"), SMOOTH)
def test_keras_gradient_is_the_difference_quotient(rng, function, options):
    x, direction = scores(rng, options), rng.normal(size=SHAPE)
    layer = keras_layer(function, **options)

    def joined(x):
        return keras_joined(layer(x))

    value, pullback = anyargmax.vjp(joined, tensor(x))
    g = rng.normal(size=tuple(value.shape))
    slope = difference_quotient(lambda x: np.sum(g * numpy(joined(tensor(x)))), x, direction)
    np.testing.assert_allclose(np.sum(numpy(pullback(tensor(g))[0]) * direction), slope, rtol=1e-7, atol=1e-8)


@on_keras
@pytest.mark.parametrize(("function", "options"), CASES)
def test_keras_symbolic_shape_and_dtype_are_the_actual_ones(rng, function, options):
    layer = keras_layer(function, **options)
    spec = layer(keras.Input(batch_shape=SHAPE, dtype="float64"))
    actual = layer(tensor(scores(rng, options)))
    shapes = tuple(tuple(piece.shape) for piece in pieces(actual))
    assert tuple(piece.shape for piece in pieces(spec)) == shapes
    assert layer.compute_output_shape(SHAPE) == (shapes if isinstance(actual, tuple) else shapes[0])
    assert isinstance(spec, tuple) is isinstance(actual, tuple)
    for piece, symbol in zip(pieces(actual), pieces(spec), strict=True):
        assert symbol.dtype == keras.backend.standardize_dtype(piece.dtype) == "float64"


@on_keras
@pytest.mark.parametrize(
    ("function", "options", "expected"),
    [
        (soft_argmax, {}, (None, None)),
        (soft_argmax, {"axis": 1}, (None, 4)),
        (soft_argmax, {"axis": -2, "keepdims": True}, (None, 1, 4)),
        (soft_argmax, {"keepdims": True}, (None, None, 1)),
        (soft_argmax, {"axis": None}, ()),
        (soft_argmax, {"axis": None, "keepdims": True}, (1, 1, 1)),
        (spatial_soft_argmax, {}, (None, 2)),
        (spatial_soft_argmax, {"axes": (2,)}, (None, None, 1)),
        (spatial_soft_argmax, {"axes": (0, 2)}, (None, 2)),
        (spatial_soft_argmax, {"axes": (2, 0, 1)}, (3,)),
        (spatial_soft_argmax, {"readout": "moments", "axes": (1,)}, ((None, 4, 1), (None, 4, 1))),
        (spatial_soft_argmax, {"readout": "covariance"}, ((None, 2), (None, 2, 2))),
    ],
)
def test_keras_shape_keeps_unknown_lengths(function, options, expected):
    layer = KERAS[function](**options)
    assert layer.compute_output_shape((None, None, 4)) == expected
    symbol = layer(keras.Input((None, 4)))
    assert (tuple(piece.shape for piece in symbol) if isinstance(symbol, tuple) else symbol.shape) == expected


@on_keras
@pytest.mark.parametrize(
    ("function", "axis", "message"),
    [
        (soft_argmax, 2, "`axis` must be in [-2, 1] for shape (None, 4), got 2"),
        (spatial_soft_argmax, (-1, 2), "`axes` must be in [-2, 1] for shape (None, 4), got 2"),
        (spatial_soft_argmax, (-1, 1), "`axes` must be distinct for shape (None, 4), got (-1, 1)"),
    ],
)
def test_keras_axis_is_checked_when_the_model_is_built(function, axis, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        KERAS[function](axis)(keras.Input((4,)))


@on_keras
@pytest.mark.parametrize(("function", "options", "error", "message"), BAD)
def test_keras_bad_option_is_refused_by_the_constructor(function, options, error, message):
    with pytest.raises(error, match=message):
        KERAS[function](**options)


@on_keras
@both
def test_keras_unknown_option_is_refused(function):
    with pytest.raises(ValueError, match="beta"):
        KERAS[function](beta=1.0)


@on_keras
def test_keras_map_takes_no_option_of_positions():
    with pytest.raises(ValueError, match="keepdims"):
        KERAS[spatial_soft_argmax](keepdims=True)


@on_keras
@pytest.mark.parametrize(
    ("function", "option"),
    [
        (soft_argmax, "temperature"),
        (soft_argmax, "positions"),
        (spatial_soft_argmax, "temperature"),
        (spatial_soft_argmax, "alpha"),
    ],
)
def test_keras_variable_is_refused_rather_than_frozen(function, option):
    with pytest.raises(TypeError, match=f"`{option}` must be a number or a constant array, got a Variable"):
        KERAS[function](**{option: keras.Variable([1.0, 2.0])})


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
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (soft_argmax, {}),
        (spatial_soft_argmax, {"axes": (1,)}),
        (spatial_soft_argmax, {"axes": (1,), "readout": "moments"}),
    ],
    ids=["position", "map", "moments"],
)
def test_keras_dtype_is_that_of_the_policy_but_at_least_float32(policy, expected, dtype, function, options):
    x = np.zeros((2, 700), dtype)
    x[:, 641] = 40
    layer = KERAS[function](dtype=policy, **options)
    actual, symbolic = pieces(layer(tensor(x, dtype))), pieces(layer(keras.Input((700,), dtype=dtype)))
    for piece, symbol in zip(actual, symbolic, strict=True):
        assert keras.backend.standardize_dtype(piece.dtype) == symbol.dtype == expected
    np.testing.assert_allclose(numpy(actual[0]), 641, rtol=4e-7)


@on_keras
def test_keras_positions_are_not_rounded_to_the_policys_half_precision():
    layer = KerasSoftArgmax(positions=np.arange(2049.0, 2053.0), hard=True, dtype="mixed_float16")
    assert numpy(layer(tensor([[0.0, 0, 1, 0]], "float32"))).tolist() == [2051]


POSITION_CONFIGURATIONS = [
    pytest.param({"axis": np.int64(1), "keepdims": True, "temperature": np.float32(0.5), "hard": True}, id="numbers"),
    pytest.param({"readout": "median", "positions": np.asarray([0, 2, 3, 5]), "name": "where"}, id="positions"),
    pytest.param({"temperature": np.asarray([[0.1], [2.0], [1.0]]), "dtype": "mixed_float16"}, id="temperatures"),
    pytest.param({"axis": None, "positions": (0.1, 0.2, 0.3, 0.4) * 3, "trainable": False}, id="tuple"),
]
MAP_CONFIGURATIONS = [
    pytest.param({"axes": (np.int64(2), 0), "window": (np.int64(1), 0), "coordinates": "corner"}, id="map-axes"),
    pytest.param(
        {"axes": [2], "temperature": np.asarray([[[0.1], [2.0], [1.0]]]), "readout": "moments"}, id="map-list"
    ),
    pytest.param({"alpha": np.float32(1.5), "readout": "covariance", "dtype": "mixed_float16"}, id="map-covariance"),
    pytest.param({"zero_background": True, "hard": np.True_, "window": np.int64(3), "name": "map"}, id="map-flags"),
]
CONFIGURATIONS = of(soft_argmax, POSITION_CONFIGURATIONS) + of(spatial_soft_argmax, MAP_CONFIGURATIONS)


@on_keras
@pytest.mark.parametrize(("function", "options"), CONFIGURATIONS)
def test_keras_config_is_plain_and_rebuilds_the_layer(rng, function, options):
    layer = KERAS[function](**options)
    config = layer.get_config()
    again = KERAS[function].from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    for name in options:
        assert config.get(name) is not None or options[name] is None
    x = tensor(np.abs(rng.normal(size=(1, 3, 4))), "float32")
    assert_same(again(x), layer(x), numpy)
    defaults = KERAS[function]().get_config()
    assert {name for name in config if config[name] != defaults[name]} - {"name"} == set(options) - {"name"}


def seed_model(function=soft_argmax, **options):
    """The model of the project's beginning, whose argmax had no gradient."""
    words = keras.Input((None,), dtype="int32")
    h = keras.layers.Embedding(10, 3, mask_zero=options.pop("mask_zero", False))(words)
    h = keras.layers.LSTM(20, return_sequences=True)(h)
    h = keras.layers.TimeDistributed(keras.layers.Dense(7))(h)
    return keras.Model(words, KERAS[function](**options)(h))


WORDS = np.asarray([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])


@on_keras
@differentiates
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (soft_argmax, {}),
        (soft_argmax, {"hard": True}),
        (soft_argmax, {"readout": "median"}),
        (spatial_soft_argmax, {"axes": (1, 2)}),
    ],
    ids=["mean", "hard", "median", "map"],
)
def test_keras_fit_trains_every_weight(function, options):
    keras.utils.set_random_seed(3)
    model = seed_model(function, temperature=0.5, **options)
    model.compile(keras.optimizers.SGD(0.3), "mse")
    before = model.get_weights()
    target = np.full(model.predict(WORDS, verbose=0).shape, 5.0)
    losses = model.fit(WORDS, target, epochs=8, verbose=0).history["loss"]
    # The median stands still where one position already has most of the weight, so it need only move.
    assert losses[-1] < losses[0] * (1 if options.get("readout") else 0.9)
    assert len(before) == 6
    for weight, was in zip(model.get_weights(), before, strict=True):
        assert np.abs(weight - was).max() > 1e-6


@on_keras
@differentiates
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (soft_argmax, {"positions": [0, 1, 2, 4, 8, 16, 32]}),
        (spatial_soft_argmax, {"axes": (2, 1), "readout": "covariance", "window": (2, 1)}),
    ],
    ids=["position", "map"],
)
def test_keras_model_survives_saving_and_cloning(tmp_path, function, options):
    keras.utils.set_random_seed(4)
    model = seed_model(function, temperature=0.3, **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is KERAS[function]
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for other in (loaded, cloned):
        actual, expected = (
            pieces(each.predict(WORDS, verbose=0)) for each in (other, model)
        )  # a saved tuple is a list
        assert_same(actual, expected, np.asarray)


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
@both
def test_keras_model_of_one_copy_of_the_library_loads_with_another(tmp_path, vendored, function):
    ours = KERAS[function]
    model = seed_model(function, temperature=0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is getattr(vendored, ours.__name__) is not ours
    np.testing.assert_array_equal(loaded.predict(WORDS, verbose=0), model.predict(WORDS, verbose=0))
    name = keras.saving.get_registered_name(ours)
    assert name == f"soft_argmax>{ours.__name__}"
    keras.saving.get_custom_objects()[name] = ours
    chosen = keras.models.load_model(tmp_path / "model.keras")
    assert type(chosen.layers[-1]) is ours


# Keras masks


def padded(values, axis, function=soft_argmax, **options):
    """A model of word numbers (0 is padding) to scores, a layer, and the Keras mask that comes out of it.

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
    positions = KERAS[function](axis, dtype="float64", **options)(Scores()(words))
    return keras.Model(words, [positions, Seen()(positions)])


@on_keras
@pytest.mark.parametrize("keepdims", [False, True])
def test_keras_mask_of_steps_is_passed_on_when_features_are_reduced(rng, keepdims):
    values = rng.normal(size=(2, 5, 4))
    positions, mask = padded(values, -1, keepdims=keepdims)(WORDS)
    np.testing.assert_array_equal(numpy(positions), numpy(soft_argmax(tensor(values), axis=-1, keepdims=keepdims)))
    np.testing.assert_array_equal(numpy(mask), WORDS != 0)


@on_keras
def test_keras_mask_of_steps_is_passed_on_when_a_map_of_each_step_is_reduced(rng):
    values = rng.normal(size=(2, 5, 4, 3))
    coordinates, mask = padded(values, (3, 2), spatial_soft_argmax)(WORDS)
    np.testing.assert_array_equal(numpy(coordinates), numpy(spatial_soft_argmax(tensor(values), (3, 2))))
    np.testing.assert_array_equal(numpy(mask), WORDS != 0)


@on_keras
@pytest.mark.parametrize("axes", [(1, 2), (3, 1), (2, 1, 3), (1,)], ids=str)
def test_keras_padded_steps_are_no_candidates_when_time_is_an_axis_of_the_map(rng, axes):
    values = rng.normal(size=(2, 5, 4, 3))
    keep = (WORDS != 0)[..., None, None]
    values[np.broadcast_to(~keep, values.shape)] = 1e30
    coordinates, mask = padded(values, axes, spatial_soft_argmax)(WORDS)
    expected = spatial_soft_argmax(tensor(values), axes, mask=tensor(keep, "bool"))
    np.testing.assert_array_equal(numpy(coordinates), numpy(expected))
    assert numpy(coordinates)[0, ..., axes.index(1)].max() <= 2
    assert (numpy(mask) == -1).all()


@on_keras
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 4), (2, 5, 4, 3)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_keras_padded_steps_are_no_candidates_when_time_is_reduced(rng, shape, keepdims):
    values = rng.normal(size=shape)
    keep = (WORDS != 0).reshape(2, 5, *[1] * (len(shape) - 2))
    values[np.broadcast_to(~keep, shape)] = 1e30
    positions, mask = padded(values, 1, keepdims=keepdims)(WORDS)
    expected = soft_argmax(tensor(values), axis=1, mask=tensor(keep, "bool"), keepdims=keepdims)
    np.testing.assert_array_equal(numpy(positions), numpy(expected))
    assert numpy(positions)[0].max() <= 2
    assert (numpy(mask) == -1).all()


@on_keras
def test_keras_padded_steps_are_no_candidates_when_everything_is_reduced(rng):
    values = rng.normal(size=(2, 5, 4))
    positions, mask = padded(values, None)(WORDS)
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
@both
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 4), (2, 1, 4)], ids=str)
def test_keras_mask_of_the_scores_rank_masks_scores(rng, function, shape):
    x, keep = rng.normal(size=SHAPE), rng.uniform(size=shape) < 0.6
    keep[..., 1] = True
    layer = keras_layer(function)
    expected = function(tensor(x), **as_arrays(function, {}, tensor), mask=tensor(keep, "bool"))
    assert np.abs(numpy(expected) - numpy(layer(tensor(x)))).max() > 0.01
    np.testing.assert_array_equal(numpy(layer(tensor(x), mask=tensor(keep, "bool"))), numpy(expected))
    np.testing.assert_array_equal(numpy(layer(tensor(x), tensor(keep, "bool"))), numpy(expected))
    assert layer.compute_mask(tensor(x), tensor(keep, "bool")) is None


@on_keras
@pytest.mark.parametrize(
    ("function", "options"),
    [(soft_argmax, {}), (spatial_soft_argmax, {}), (spatial_soft_argmax, {"readout": "covariance"})],
    ids=["position", "map", "covariance"],
)
def test_keras_mask_can_be_an_input_of_the_model(rng, function, options):
    x, keep = rng.normal(size=(3, 2, 4)), np.asarray([[[True, False, True, True]] * 2] * 3)
    values, mask = keras.Input((2, 4), dtype="float64"), keras.Input((2, 4), dtype="bool")
    model = keras.Model([values, mask], keras_layer(function, **options)(values, mask=mask))
    expected = function(tensor(x), **as_arrays(function, options, tensor), mask=tensor(keep, "bool"))
    assert_same(model([tensor(x), tensor(keep, "bool")]), expected, numpy)


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
@pytest.mark.parametrize("readout", ["mean", "median", "moments", "covariance"])
@pytest.mark.parametrize(
    ("axes", "mask", "passed_on"),
    [
        ((-2, -1), (2,), True),
        ((-2, -1), (2, 3), False),
        ((2,), (2, 3), True),
        ((2, 0), (2,), False),
        ((0, 1, 2), (2, 3), False),
        ((-2, -1), (2, 3, 4), False),
    ],
)
def test_keras_mask_is_passed_on_to_each_answer_of_a_map_if_its_axes_are_left(readout, axes, mask, passed_on):
    layer, mask = KERAS[spatial_soft_argmax](axes, readout=readout), tensor(np.ones(mask), "bool")
    passed = layer.compute_mask(keras.KerasTensor(SHAPE), mask)
    count = len(pieces(layer(keras.KerasTensor(SHAPE))))
    assert passed is None if not passed_on else all(one is mask for one in pieces(passed))
    assert passed is None or len(pieces(passed)) == count == (2 if readout in ("moments", "covariance") else 1)
    assert layer.compute_mask(keras.KerasTensor(SHAPE), None) is None


@on_keras
@both
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
def test_keras_mask_of_a_wrong_shape_is_refused(function, shape, mask, message):
    with pytest.raises(ValueError, match=message):
        KERAS[function]()(tensor(np.zeros(shape), "float32"), mask=tensor(np.ones(mask), "bool"))


@on_keras
@both
def test_keras_mask_must_be_boolean(function):
    with pytest.raises(TypeError, match="`mask` must be a boolean array"):
        KERAS[function]()(tensor(np.zeros((2, 3)), "float32"), mask=tensor(np.ones((2, 3)), "float32"))


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
@both
def test_keras_tensor_of_an_unknown_framework_is_refused_with_the_way_out(function):
    class Tensor:
        shape, dtype = (2, 3), "float32"

    with pytest.raises(TypeError, match=f"got a Tensor of .* on the Keras backend '{KERAS_BACKEND}'.*KERAS_BACKEND to"):
        KERAS[function]().call(Tensor())


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
    settings = '"tensorflow", "torch" or "jax", whichever is installed, before Keras is first imported'
    assert f"Set the environment variable KERAS_BACKEND to {settings}" in last


def test_keras_that_is_not_installed_is_named():
    done = run_python("import sys; sys.modules['keras'] = None; import anyargmax.backends.keras")
    assert done.returncode == 1
    assert "ImportError: Keras 3 is needed" in done.stderr.strip().splitlines()[-1]


@on_keras
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(name not in KERAS_BACKENDS, reason=f"{name} is not installed"))
        for name in ("torch", "jax", "tensorflow", "numpy")
        if name != KERAS_BACKEND
    ],
)
def test_keras_tests_pass_on_another_backend(name, request):
    here = "test_keras_ and not on_another_backend and not (fit_trains and (median or hard or map))"  # one is trained
    beside = ["test_sampling_layers.py"] + ["keras_on_tensorflow.py"] * (name == "tensorflow")
    files = [__file__, *map(Path(__file__).with_name, beside)]
    # One process: a second one would spend more on its imports than it saves.
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses=0", "-p", "no:cacheprovider", "-k", here, *files]
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


def torch_values(x):
    return x.detach().numpy()


@on_torch
def test_torch_examples_of_the_layers_print_what_they_say():
    assert doctest.testmod(importlib.import_module("anyargmax.backends.torch.layer")) == (0, 10)


@on_torch
@both
def test_torch_takes_the_options_that_the_function_has(function):
    layer = TORCH[function]
    takes_the_options(function, layer)
    with pytest.raises(TypeError, match=rf"`{layer.__name__}` must be given options out of .* got 'temprature'"):
        layer(temprature=1.0)


@on_torch
@pytest.mark.parametrize(("function", "options"), CASES)
def test_torch_value_and_gradient_are_those_of_the_function(rng, function, options):
    x = double(scores(rng, options)).requires_grad_()
    held = {name: double(value) if name in ("temperature", "alpha") else value for name, value in options.items()
            if isinstance(value, list)}  # fmt: skip
    actual = TORCH[function](**{**options, **held})(x)
    expected = function(x, **as_arrays(function, options, double))
    assert_same(actual, expected, torch_values)
    g = [double(rng.normal(size=piece.shape)) for piece in pieces(actual)]
    (gradient,) = torch.autograd.grad(pieces(actual), x, g)
    assert gradient.abs().max() > 1e-3
    assert torch.equal(gradient, *torch.autograd.grad(pieces(expected), x, g))


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
@pytest.mark.parametrize("readout", ["mean", "median", "moments", "covariance"])
def test_torch_gradients_of_maps_are_difference_quotients(rng, readout):
    given = {
        "temperature": torch.nn.Parameter(double([0.7])),
        "alpha": torch.nn.Parameter(double(rng.uniform(1.2, 1.8, size=(2, 1, 1)))),
    }
    module = TORCH[spatial_soft_argmax]((2, 1), coordinates="center", readout=readout, **given)
    assert [name for name, _ in module.named_parameters()] == list(given)
    x = double(rng.normal(size=SHAPE)).requires_grad_()
    mask = torch.asarray(rng.uniform(size=SHAPE) < 0.8)

    def f(x, temperature, alpha):
        return torch.func.functional_call(module, {"temperature": temperature, "alpha": alpha}, (x, mask))

    assert torch.autograd.gradcheck(f, (x, module.temperature, module.alpha))


@on_torch
@both
def test_torch_mask_is_that_of_the_function(rng, function):
    x, mask = double(rng.normal(size=SHAPE)), torch.asarray([True, False, True, True])
    expected = function(x, **as_arrays(function, {}, double), mask=mask)
    assert torch.equal(TORCH[function]()(x, mask), expected)
    assert torch.equal(TORCH[function]()(x, mask=mask), expected)


@on_torch
@pytest.mark.parametrize(("function", "options", "error", "message"), BAD)
def test_torch_bad_option_is_refused_by_the_constructor(function, options, error, message):
    with pytest.raises(error, match=message):
        TORCH[function](**options)


@on_torch
@both
def test_torch_bad_temperature_parameter_is_refused_by_the_constructor(function):
    with pytest.raises(ValueError, match="`temperature` must be greater than 0 everywhere"):
        TORCH[function](temperature=torch.nn.Parameter(torch.tensor([[1.0], [-1.0]])))


@on_torch
@both
def test_torch_arrays_that_fit_no_scores_together_are_refused_by_the_constructor(function):
    message = re.escape("`temperature` and `alpha` must broadcast against each other, got shapes (3, 1) and (2, 1)")
    with pytest.raises(ValueError, match=message):
        TORCH[function](temperature=torch.ones(3, 1), alpha=torch.ones(2, 1))


def trained_module(function=soft_argmax, number=0.5, **options):
    """A layer with a temperature that is learned: without axes for positions, of one axis for maps."""
    if function is spatial_soft_argmax:
        options = {"coordinates": "corner", **options}
        return TORCH[function](temperature=torch.nn.Parameter(torch.tensor([number])), **options)
    options = {"positions": [0.0, 1.0, 2.5, 7.0], **options}
    return TorchSoftArgmax(temperature=torch.nn.Parameter(torch.tensor(number)), **options)


@on_torch
@pytest.mark.parametrize(
    ("function", "options"),
    [
        pytest.param(soft_argmax, {}, id="mean"),
        pytest.param(soft_argmax, {"hard": True}, id="hard"),
        pytest.param(soft_argmax, {"readout": "median"}, id="median"),
        pytest.param(spatial_soft_argmax, {}, id="map"),
        pytest.param(spatial_soft_argmax, {"readout": "moments"}, id="map-moments"),
        pytest.param(spatial_soft_argmax, {"readout": "covariance", "alpha": 1.5}, id="map-covariance"),
    ],
)
def test_torch_module_compiles_whole(rng, function, options):
    module = trained_module(function, **options)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32).requires_grad_()
    mask = torch.asarray([True, True, False, True])
    g = [torch.asarray(rng.normal(size=piece.shape), dtype=torch.float32) for piece in pieces(module(x))]
    for arguments in ((x,), (x, mask)):
        expected, actual = module(*arguments), compiled(*arguments)
        torch.testing.assert_close(actual, expected)
        gradients = [torch.autograd.grad(pieces(y), (x, module.temperature), g) for y in (actual, expected)]
        torch.testing.assert_close(*gradients)


@on_torch
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("function", "options"),
    [(soft_argmax, {}), (spatial_soft_argmax, {}), (spatial_soft_argmax, {"readout": "covariance"})],
    ids=["position", "map", "covariance"],
)
def test_torch_module_exports_with_any_batch(rng, function, options, strict):
    module = trained_module(function, **options)
    x = torch.asarray(rng.normal(size=(5, 3, 4)), dtype=torch.float32)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(module, (x[:3],), dynamic_shapes=({0: batch},), strict=strict)
    assert set(program.state_dict) == set(module.state_dict()) >= {"temperature"}
    torch.testing.assert_close(program.module()(x), module(x))


@on_torch
@both
def test_torch_functional_call_and_vmap_take_temperatures_from_outside(rng, function):
    module = trained_module(function)
    x, temperatures = double(rng.normal(size=SHAPE)), double([[0.2], [3.0]])
    call = torch.func.vmap(lambda t, x: torch.func.functional_call(module, {"temperature": t}, (x,)))
    options = {"coordinates": "corner"}
    if function is soft_argmax:
        options = {"axis": -1, "positions": module.positions.double()}
    expected = [function(x[k], temperature=temperatures[k], **options) for k in range(2)]
    torch.testing.assert_close(call(temperatures, x), torch.stack(expected))
    if function is soft_argmax:
        torch.testing.assert_close(call(temperatures[:, 0], x), torch.stack(expected))
    assert module.temperature.item() == 0.5


@on_torch
@pytest.mark.parametrize(
    ("function", "options", "state"),
    [
        (soft_argmax, {"keepdims": True}, ["temperature", "positions"]),
        (spatial_soft_argmax, {"axes": (-1, -2)}, ["temperature"]),
    ],
    ids=["position", "map"],
)
def test_torch_module_survives_copying_pickling_and_its_state(rng, function, options, state):
    module = trained_module(function, **options)
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32)
    saved = io.BytesIO()
    torch.save(module, saved)
    saved.seek(0)
    others = {"positions": [1.0] * 4} if function is soft_argmax else {}
    other = trained_module(function, 9.0, **others, **options)
    assert not torch.equal(other(x), module(x))
    assert list(module.state_dict()) == state
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
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("readout", ["mean", "covariance"])
def test_torch_map_of_a_half_type_has_coordinates_in_float32(rng, dtype, readout):
    module = TORCH[spatial_soft_argmax](temperature=torch.nn.Parameter(torch.tensor([0.3])), readout=readout)
    module = module.to(getattr(torch, dtype))
    x = torch.zeros(1, 2, 2052, dtype=getattr(torch, dtype))
    x[..., 1, 2051] = 30
    assert module.temperature.dtype == x.dtype
    actual = module(x)
    assert {piece.dtype for piece in pieces(actual)} == {torch.float32}
    torch.testing.assert_close(pieces(actual)[0], torch.tensor([[1.0, 2051.0]]))
    assert_same(actual, spatial_soft_argmax(x, temperature=module.temperature, readout=readout), torch_values)


@on_torch
@pytest.mark.parametrize("shape", [(1,), ()], ids=str)
@pytest.mark.parametrize(
    ("function", "axis", "scores_shape"),
    [
        (soft_argmax, None, ()),
        (soft_argmax, None, (3,)),
        (soft_argmax, None, (2, 3)),
        (soft_argmax, -1, (3,)),
        (soft_argmax, 1, (2, 3, 4)),
        (spatial_soft_argmax, (0,), (3,)),
        (spatial_soft_argmax, (0, 1), (2, 3)),
        (spatial_soft_argmax, (1, 3), (2, 3, 4, 5)),
    ],
)
def test_torch_one_learned_number_stands_beside_scores_of_every_rank(rng, function, axis, scores_shape, shape):
    x = double(rng.normal(size=scores_shape))
    learned = [torch.nn.Parameter(torch.full(shape, number, dtype=torch.float64)) for number in (0.4, 1.5)]
    actual = TORCH[function](axis, temperature=learned[0], alpha=learned[1])(x)
    numbers = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in (0.4, 1.5)]
    expected = function(x, axis, temperature=numbers[0], alpha=numbers[1])
    assert_same(actual, expected, torch_values)
    gradients = torch.autograd.grad(actual.sum(), learned)
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected.sum(), numbers), strict=True):
        assert gradient.shape == shape
        torch.testing.assert_close(gradient.sum(), wanted)


@on_torch
def test_torch_score_without_axes_has_the_one_position_that_is_given():
    module = TorchSoftArgmax(None, positions=[7.0], temperature=torch.ones(1))
    assert module(torch.tensor(3.0)).item() == 7


@on_torch
@both
def test_torch_temperature_is_trained(rng, function):
    x = torch.asarray(rng.normal(size=(64, 2, 3)), dtype=torch.float32)
    target = function(x, **as_arrays(function, {}, double), temperature=0.7)
    module = TORCH[function](temperature=torch.nn.Parameter(torch.tensor([1.5])))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(x), target).backward()
        optimizer.step()
    assert module.temperature.item() == pytest.approx(0.7, abs=0.01)


def robots_layer(number, learns, spread):
    """The spatial softmax of robomimic, from its formulas: expected (x, y) over [-1, 1], with their covariance.

    Without a temperature it is that of lerobot.
    """

    class SpatialSoftmax(torch.nn.Module):
        def __init__(self, height, width, channels=3, count=5):
            super().__init__()
            self.nets = torch.nn.Conv2d(channels, count, 1).double()
            if number is not None:
                held = torch.full((1,), number, dtype=torch.float64)
                self.temperature = torch.nn.Parameter(held) if learns else torch.nn.Buffer(held)
            grid = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in (height, width)]
            y, x = torch.meshgrid(*grid, indexing="ij")
            self.pos_x, self.pos_y = torch.nn.Buffer(x.reshape(-1)), torch.nn.Buffer(y.reshape(-1))

        def forward(self, features):
            maps = self.nets(features).flatten(2) / getattr(self, "temperature", 1.0)
            attention = torch.softmax(maps, -1)
            x, y, xx, yy, xy = (
                (attention * position).sum(-1)
                for position in (self.pos_x, self.pos_y, self.pos_x**2, self.pos_y**2, self.pos_x * self.pos_y)
            )
            means = torch.stack([x, y], -1)
            covariance = torch.stack([xx - x * x, xy - x * y, xy - x * y, yy - y * y], -1)
            return (means, covariance.unflatten(-1, (2, 2))) if spread else means

    return SpatialSoftmax(5, 7)


@on_torch
@pytest.mark.parametrize("spread", [False, True], ids=["means", "covariance"])
@pytest.mark.parametrize(
    ("number", "learns"), [(0.7, True), (0.7, False), (None, False)], ids=["learned", "fixed", "none"]
)
def test_torch_map_stands_in_for_the_spatial_softmax_of_robots(rng, number, learns, spread):
    theirs = robots_layer(number, learns, spread)
    held = torch.full((1,), 4.0, dtype=torch.float64)
    ours = TORCH[spatial_soft_argmax](
        axes=(-1, -2),
        coordinates="corner",
        temperature=1.0 if number is None else torch.nn.Parameter(held) if learns else held,
        readout="covariance" if spread else "mean",
    )
    saved = theirs.state_dict()
    kept = ours.load_state_dict(saved, strict=False)
    assert kept.missing_keys == []
    assert set(kept.unexpected_keys) == {"nets.weight", "nets.bias", "pos_x", "pos_y"}
    assert list(ours.state_dict()) == ([] if number is None else ["temperature"])
    features = double(rng.normal(size=(2, 3, 5, 7)) * 3).requires_grad_()
    shared = [features, *theirs.nets.parameters()]
    expected, actual = theirs(features), ours(theirs.nets(features))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-13)
    assert pieces(actual)[0].shape == (2, 5, 2)
    g = [double(rng.normal(size=piece.shape)) for piece in pieces(actual)]
    gradients = [
        torch.autograd.grad(pieces(answer), [*shared, layer.temperature] if learns else shared, g)
        for answer, layer in ((actual, ours), (expected, theirs))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-13)


@pytest.fixture
def one_process():
    """A mesh of this process alone, on the CPU."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


# Positions are a view, which only a change in place of them would make matter.
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view tensor:UserWarning")
@on_torch
@both
def test_torch_learned_temperature_of_one_axis_is_sharded(rng, one_process, function):
    others = {"positions": [0.0, 1.0, 2.5, 7.0]} if function is soft_argmax else {"readout": "mean"}
    module = TORCH[function](temperature=torch.nn.Parameter(torch.tensor([1.5])), **others)
    alone = copy.deepcopy(module)
    sharded = torch.distributed.fsdp.fully_shard(module, mesh=one_process)
    assert isinstance(sharded.temperature, torch.distributed.tensor.DTensor)
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32)
    optimizers = [torch.optim.SGD(each.parameters(), 0.01) for each in (sharded, alone)]
    for _ in range(2):
        actual, expected = sharded(x), alone(x)
        assert torch.equal(actual, expected)
        for answer, optimizer in ((actual, optimizers[0]), (expected, optimizers[1])):
            optimizer.zero_grad()
            answer.square().sum().backward()
            optimizer.step()
    assert torch.equal(sharded.temperature.full_tensor(), alone.temperature)
    assert alone.temperature.item() != 1.5
    assert list(sharded.state_dict()) == list(alone.state_dict())


@on_torch
@both
def test_torch_learned_temperature_without_axes_works_but_is_not_sharded_as_documented(rng, one_process, function):
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32)
    module, other = (TORCH[function](temperature=torch.nn.Parameter(torch.full(shape, 0.5))) for shape in ((), (1,)))
    assert torch.equal(module(x), other(x))
    with pytest.raises(ValueError, match=r"scalar parameters\. Change temperature to a 1D tensor"):
        torch.distributed.fsdp.fully_shard(module, mesh=one_process)
    assert "`torch.distributed.fsdp.fully_shard` refuses" in TorchSoftArgmax.__doc__


@on_torch
@both
def test_torch_logarithm_of_a_temperature_is_trained_by_a_parametrization(rng, function):
    class Exponential(torch.nn.Module):
        def forward(self, logarithm):
            return torch.exp(logarithm)

        def right_inverse(self, temperature):
            return torch.log(temperature)

    module = TORCH[function](temperature=torch.nn.Parameter(torch.tensor([0.5])))
    x = torch.asarray(rng.normal(size=SHAPE), dtype=torch.float32)
    expected = module(x)
    torch.nn.utils.parametrize.register_parametrization(module, "temperature", Exponential())
    torch.testing.assert_close(module(x), expected)
    (logarithm,) = module.parameters()
    module(x).sum().backward()
    assert logarithm.grad != 0
    with torch.no_grad():
        logarithm.sub_(20)
    assert module(x).isfinite().all()


@on_torch
def test_torch_module_shows_what_is_not_the_default():
    assert repr(TorchSoftArgmax()) == "SoftArgmax(axis=-1)"
    shown = repr(trained_module(readout="median", hard=True, axis=None))
    assert shown == "SoftArgmax(axis=None, temperature=Parameter(), positions=Tensor(4,), readout='median', hard=True)"
    assert repr(TORCH[spatial_soft_argmax]()) == "SpatialSoftArgmax(axes=(-2, -1))"
    shown = repr(trained_module(spatial_soft_argmax, axes=[1, 2], window=(1, 2)))
    assert shown == "SpatialSoftArgmax(axes=(1, 2), coordinates='corner', temperature=Parameter(1,), window=(1, 2))"


@on_torch
def test_torch_module_compiles_on_a_cold_start_as_the_first_import():
    code = """
from anyargmax.backends.torch import SoftArgmax, SpatialSoftArgmax
import torch
x = torch.tensor([[0.0, 3.0, 1.0], [4.0, 0.0, 0.0]])
for layer in (SoftArgmax(temperature=0.5), SpatialSoftArgmax(temperature=0.5)):
    module = torch.nn.Sequential(torch.nn.Identity(), layer)
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
