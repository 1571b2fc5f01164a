"""Keras on TensorFlow, its default: the project's first model, and what graphs, XLA and files ask for.

Run by pytest beside the tests of the layers, in a process that has Keras on TensorFlow.
"""

from functools import partial
from importlib.util import find_spec
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_layers import WORDS, run_python, seed_model

from anyargmax import soft_argmax
from anyargmax._experiment import network
from anyargmax._experiment.frameworks import FRAMEWORKS, gradients, relative_difference
from anyargmax.backends.keras import SoftArgmax, SpatialSoftArgmax

assert keras.config.backend() == "tensorflow"
# Keras' own Variable.__array__ lacks the keyword that NumPy 2 asks for; any save or predict meets it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
TEMPERATURE = 0.01
INPUTS, TARGETS = np.asarray(network.INPUTS), network.targets()


@pytest.fixture
def restored():
    """Keras with its own dtypes again after the test."""
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def first_model(last, dtype="float32"):
    """The model whose gradients were None: as its author built it, with the weights of the experiment."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    tokens = keras.Input((None,), dtype="int32")
    h = keras.layers.Embedding(network.VOCABULARY, network.FEATURES)(tokens)
    h = keras.layers.LSTM(network.UNITS, return_sequences=True)(h)
    h = keras.layers.TimeDistributed(keras.layers.Activation("softmax"))(h)
    model = keras.Model(tokens, last(h))
    model.set_weights(list(network.initial_weights()))
    return model


def taped(model):
    """The gradients of the squared distance by the weights, as TensorFlow's own tape has them."""
    with tf.GradientTape() as tape:
        positions = model(INPUTS)
        loss = tf.reduce_mean((tf.cast(positions, model.compute_dtype) - TARGETS) ** 2)
    return tape.gradient(loss, model.trainable_variables)


def dense(found):
    return [np.asarray(tf.convert_to_tensor(g)) for g in found]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)])
def test_keras_first_model_has_the_gradients_of_other_frameworks_where_argmax_has_none(restored, dtype, tolerance):
    for argmax in (partial(keras.ops.argmax, axis=-1), partial(tf.argmax, axis=-1)):
        dead = first_model(keras.layers.Lambda(argmax, output_shape=lambda shape: shape[:-1]), dtype)
        assert taped(dead) == [None] * 4
    model = first_model(SoftArgmax(temperature=TEMPERATURE), dtype)
    assert model.output_shape == (None, None)
    found = dense(taped(model))
    assert all(np.isfinite(g).all() and np.abs(g).max() > 1e-3 and g.dtype == dtype for g in found)
    loss = partial(network.squared_distance, argmax=soft_argmax, temperature=TEMPERATURE)
    others = [framework for framework in FRAMEWORKS if framework.name != "tensorflow" and find_spec(framework.name)]
    for framework in others:
        expected = gradients(framework, loss, network.initial_weights(), network.one_hot_inputs(), TARGETS)
        assert relative_difference(found, expected) <= tolerance


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_keras_first_model_learns(restored, jit):
    model = first_model(SoftArgmax(temperature=0.1))
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit)
    before = np.mean((model(INPUTS) - TARGETS) ** 2)
    losses = model.fit(INPUTS, TARGETS, epochs=12, verbose=0).history["loss"]
    np.testing.assert_allclose(losses[0], before, rtol=1e-5)
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert losses[-1] < 0.9 * before


def test_keras_model_learns_in_half_precision(restored):
    keras.config.set_dtype_policy("mixed_float16")
    keras.utils.set_random_seed(7)
    model = seed_model(temperature=0.5)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = model.fit(WORDS, np.full(WORDS.shape, 5.0), epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert model.layers[-2].dtype_policy.name == "mixed_float16"
    assert model(WORDS).dtype == tf.float32


def test_keras_model_takes_batches_of_any_size_and_length_in_one_graph():
    keras.utils.set_random_seed(8)
    words = keras.Input((None,), dtype="int32")
    h = keras.layers.LSTM(20, return_sequences=True)(keras.layers.Embedding(10, 3, mask_zero=True)(words))
    # TimeDistributed(Dense(7)), which is the same, gives other lengths than the first one wrong shapes in Keras itself.
    model = keras.Model(words, SoftArgmax(temperature=0.5)(keras.layers.Dense(7)(h)))
    for shape in ((2, 5), (3, 4), (1, 9), (5, 2)):
        words = np.arange(np.prod(shape)).reshape(shape) % 10
        np.testing.assert_allclose(model.predict(words, verbose=0), model(words), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [SoftArgmax(1), SpatialSoftArgmax((1, 2))], ids=["position", "map"])
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_keras_padded_words_are_no_candidates_in_a_graph(layer, jit):
    keras.utils.set_random_seed(9)
    words = keras.Input((5,), dtype="int32")
    model = keras.Model(words, layer(keras.layers.Embedding(10, 4, mask_zero=True)(words)))
    model.compile("sgd", "mse", jit_compile=jit)
    expected = model(WORDS)
    table = model.get_weights()[0]
    table[0] = 1e6  # the embedding of padding
    model.set_weights([table])
    found = model.predict(WORDS, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[0, ..., 0].max() <= 2
    model.fit(WORDS, np.zeros_like(found), verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()
    np.testing.assert_array_equal(model.get_weights()[0][0], table[0])


def test_keras_sequences_reduced_along_time_need_one_length_in_a_graph_but_not_eagerly():
    keras.utils.set_random_seed(11)
    words = keras.Input((None,), dtype="int32")
    model = keras.Model(words, SoftArgmax(1)(keras.layers.Embedding(10, 4)(words)))
    shorter = WORDS[:, :3]
    for batch in (WORDS, 1 + WORDS):
        np.testing.assert_allclose(model.predict(batch, verbose=0), model(batch), rtol=1e-5)
    with pytest.raises(ValueError, match="`axis` must be an axis whose length is known, got axis 1"):
        model.predict(shorter, verbose=0)
    model.compile(run_eagerly=True)
    for batch in (WORDS, shorter):
        np.testing.assert_allclose(model.predict(batch, verbose=0), model(batch), rtol=1e-5)
    assert "``run_eagerly=True``" in SoftArgmax.__doc__


@pytest.mark.parametrize(
    "layer",
    [
        SoftArgmax(1, alpha=1.5, dtype="float64"),
        SoftArgmax(window=1, temperature=[[0.3], [1.0], [2.0]], hard=True, dtype="float64"),
        SoftArgmax(readout="median", positions=[0.0, 1.0, 4.0, 9.0], dtype="float64"),
        SpatialSoftArgmax(readout="covariance", coordinates="center", dtype="float64"),
    ],
    ids=["alpha", "window", "median", "covariance"],
)
def test_keras_layers_are_the_same_in_a_graph_that_does_not_know_the_batch(rng, layer):
    def value_and_gradient(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            answer = tf.nest.flatten(layer(x, mask=mask))
            loss = sum(tf.reduce_sum(part**2) for part in answer)
        return [*answer, tape.gradient(loss, x)]

    x, mask = tf.constant(rng.normal(size=(2, 3, 4))), tf.constant(rng.uniform(size=(2, 3, 4)) < 0.8)
    signature = [tf.TensorSpec((None, 3, 4), dtype) for dtype in (x.dtype, mask.dtype)]
    graph = tf.function(value_and_gradient, input_signature=signature)
    for found, expected in zip(graph(x, mask), value_and_gradient(x, mask), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert np.isfinite(found).all()


OTHER = next((name for name in ("torch", "jax") if find_spec(name)), None)
LOAD_AND_SAVE = """
import warnings
import keras, numpy as np
warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
import anyargmax.backends.keras
model = keras.models.load_model("tensorflow.keras")
np.save("positions.npy", model.predict(np.load("words.npy"), verbose=0))
model.save("other.keras")
print(keras.config.backend())
"""


@pytest.mark.skipif(OTHER is None, reason="Keras has no other backend here")
def test_keras_model_saved_on_tensorflow_loads_on_another_backend_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(10)
    model = seed_model(temperature=0.3, positions=[0, 1, 2, 4, 8, 16, 32])
    expected = model.predict(WORDS, verbose=0)
    np.save("words.npy", WORDS)
    model.save("tensorflow.keras")
    done = run_python(LOAD_AND_SAVE, KERAS_BACKEND=OTHER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == OTHER
    np.testing.assert_allclose(np.load("positions.npy"), expected, rtol=1e-5)
    back = keras.models.load_model("other.keras")
    assert type(back.layers[-1]) is SoftArgmax
    np.testing.assert_array_equal(back.predict(WORDS, verbose=0), expected)
