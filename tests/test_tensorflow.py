"""TensorFlow: graphs whose lengths are not known, XLA, vectorized maps, forward mode, variables and saved models."""

import re
from functools import partial

import numpy as np
import pytest
from conftest import MISSING, PRESENT

from anyargmax import (
    expectation,
    fenchel_young_loss,
    jvp,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)

if "tensorflow" not in PRESENT:
    pytest.skip(MISSING["tensorflow"], allow_module_level=True)
import tensorflow as tf

from anyargmax.validation.tolerance import EPS, TOLERANCE

X = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
SHARES = np.random.default_rng(1).integers(1, 9, size=(6,)) / 64
SHARES[0] += 1 - SHARES.sum()


def first_index(x):
    return tf.zeros(tf.shape(x)[:2], tf.int32)


CALLS = {
    "position": partial(soft_argmax, axis=-1, temperature=0.5),
    "position, kept, under a mask": lambda x: soft_argmax(x, -1, keepdims=True, mask=x > -1),
    "straight-through position": partial(soft_argmax, axis=-1, hard=True),
    "position within a window": partial(soft_argmax, axis=-1, window=1),
    "position on a zero background": lambda x: soft_argmax(tf.abs(x), -1, zero_background=True),
    "median": partial(soft_argmax, axis=-1, readout="median"),
    "variance": lambda x: soft_argmax_moments(x, -1)[1],
    "weights": soft_one_hot,
    "sparsemax weights": partial(soft_one_hot, alpha=2),
    "1.5-entmax weights at a temperature": lambda x: soft_one_hot(x, alpha=1.5, temperature=tf.constant([0.5])),
    "3-entmax weights": partial(soft_one_hot, alpha=3),
    "logarithms": partial(soft_one_hot, log=True),
    "capped winners": lambda x: soft_top_k(x, 2),
    "sigmoid winners": lambda x: soft_top_k(x, 2, kind="sigmoid"),
    "given position": partial(expectation, axis=-1),
    "cross-entropy of indices": lambda x: fenchel_young_loss(x, first_index(x)),
    "1.5-entmax loss of weights": lambda x: fenchel_young_loss(
        x, tf.broadcast_to(tf.constant(SHARES, x.dtype), tf.shape(x)), alpha=1.5
    ),
    "sharpened": lambda x: sharpen(tf.abs(x)),
}
every_call = pytest.mark.parametrize("f", [pytest.param(f, id=name) for name, f in CALLS.items()])


def weighted(y):
    """A sum in which every entry has a weight of its own."""
    return tf.reduce_sum(y * tf.reshape(tf.cos(tf.range(tf.size(y), dtype=y.dtype)), tf.shape(y)))


def with_gradient(f, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
        loss = weighted(y)
    return y, tape.gradient(loss, x)


def same(actual, expected, kind):
    expected = np.asarray(expected)
    scale = max(1.0, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=2 * TOLERANCE[kind] * EPS["float32"] * scale)


@every_call
@pytest.mark.parametrize("shape", [(None, None, 6), (None, 4, 6)], ids=["two lengths unknown", "batch unknown"])
def test_a_graph_of_unknown_lengths_has_the_values_and_gradients_of_eager_calls(f, shape):
    x = tf.constant(X)
    graph = tf.function(partial(with_gradient, f), input_signature=[tf.TensorSpec(shape)])
    for part, wanted, kind in zip(graph(x), with_gradient(f, x), ("value", "derivative"), strict=True):
        same(part, wanted, kind)
    assert graph(x[:1])[0].shape == f(x[:1]).shape


@every_call
def test_xla_has_the_values_and_gradients_of_eager_calls(f):
    x = tf.constant(X)
    compiled = tf.function(partial(with_gradient, f), jit_compile=True)
    for part, wanted, kind in zip(compiled(x), with_gradient(f, x), ("value", "derivative"), strict=True):
        same(part, wanted, kind)


@every_call
def test_a_vectorized_map_is_the_call_of_each(f):
    x = tf.constant(X)
    mapped = tf.vectorized_map(f, tf.stack([x, x + 1]))
    same(mapped[0], f(x), "value")
    same(mapped[1], f(x + 1), "value")


@every_call
def test_forward_mode_is_the_jvp(f):
    x, t = tf.constant(X), tf.constant(np.random.default_rng(2).normal(size=X.shape).astype("float32"))
    with tf.autodiff.ForwardAccumulator(x, t) as accumulator:
        y = f(x)
    value, tangent = jvp(f, (x,), (t,))
    same(y, value, "value")
    same(accumulator.jvp(y), tangent, "derivative")


def test_coordinates_and_their_covariance_in_a_graph_of_unknown_batches():
    f = partial(spatial_soft_argmax, axes=(-1, -2), coordinates="corner", readout="covariance")
    graph = tf.function(f, input_signature=[tf.TensorSpec((None, 4, 6))])
    for part, wanted in zip(graph(tf.constant(X)), f(tf.constant(X)), strict=True):
        same(part, wanted, "value")


def test_a_learned_temperature_and_scores_may_be_variables():
    x, temperature = tf.Variable(X), tf.Variable([0.5])
    with tf.GradientTape() as tape:
        loss = weighted(soft_argmax(x, -1, temperature=temperature))
    by_x, by_temperature = tape.gradient(loss, [x, temperature])
    assert by_x.shape == X.shape
    assert by_temperature.shape == (1,)
    h = 1e-3
    near = [weighted(soft_argmax(tf.constant(X, tf.float64), -1, temperature=0.5 + d)) for d in (h, -h)]
    assert float(by_temperature[0]) == pytest.approx(float((near[0] - near[1]) / (2 * h)), rel=1e-4)


def test_a_temperature_of_each_row_has_a_gradient_where_the_batch_is_not_known():
    def f(x, t):
        with tf.GradientTape() as tape:
            tape.watch(t)
            loss = weighted(soft_argmax(x, -1, temperature=t))
        return tape.gradient(loss, t)

    x, t = tf.constant(X), tf.fill((3, 1, 1), 0.5)
    graph = tf.function(f, input_signature=[tf.TensorSpec((None, None, 6)), tf.TensorSpec((None, 1, 1))])
    assert graph(x, t).shape == (3, 1, 1)
    same(graph(x, t), f(x, t), "derivative")


def test_an_axis_whose_length_is_not_known_is_told_to_have_one():
    graph = tf.function(soft_argmax, input_signature=[tf.TensorSpec((None, 6))])
    message = "`axis` must be an axis whose length is known, got axis 0 of shape (None,)."
    with pytest.raises(ValueError, match=re.escape(message)):
        graph(tf.constant(X[0]))


def test_ragged_and_sparse_tensors_are_told_to_be_dense():
    ragged, sparse = tf.ragged.constant([[1.0, 2.0], [3.0]]), tf.sparse.from_dense([[0.0, 1.0]])
    for x, text in ((ragged, "got a RaggedTensor. Pass `x.to_tensor()`"), (sparse, "Pass `tf.sparse.to_dense(x)`.")):
        with pytest.raises(TypeError, match=re.escape(text)):
            soft_argmax(x, -1)


def test_weights_need_no_length():
    graph = tf.function(soft_one_hot, input_signature=[tf.TensorSpec((None, None))])
    same(graph(tf.constant(X[0])), soft_one_hot(tf.constant(X[0])), "value")


def test_a_saved_model_answers_as_before(tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 6))])
        def __call__(self, x):
            return soft_argmax(x, -1, alpha=1.5)

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "model"))
    x = tf.constant(X[0])
    np.testing.assert_array_equal(tf.saved_model.load(str(tmp_path / "model"))(x), model(x))


def test_the_behaviour_of_tensors_is_left_alone():
    assert not hasattr(
        tf.constant(1.0), "astype"
    )  # which tensors have where they were made to behave as NumPy's arrays
