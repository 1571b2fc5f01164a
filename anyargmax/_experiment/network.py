"""The seed's network, written once against the Array API standard: tokens in, the scores of tokens out.

Keras' ``Embedding(10, 3) -> LSTM(20, return_sequences=True) -> TimeDistributed(softmax) -> argmax``.
"""

import importlib
from typing import Any, NamedTuple

import numpy as np

from .._frameworks.registry import select
from .._rules.rule import Array
from ..weights import soft_one_hot

VOCABULARY, FEATURES, UNITS = 10, 3, 20
INPUTS = ((1, 2, 7), (3, 9, 6))
TARGETS = ((3, 1, 4), (1, 5, 9))
TEMPERATURE = 0.001  # of soft_argmax, wherever its gradient is shown
TENSORFLOW = "tensorflow.experimental.numpy"  # what tensors are made and computed by, like arrays of NumPy


class Weights(NamedTuple):
    """What the network learns, in the order and the layout of Keras."""

    embedding: Array
    kernel: Array
    recurrent_kernel: Array
    bias: Array


def initial_weights(seed: int = 0) -> Weights:
    """Glorot-uniform kernels, zero bias but for the forget gate's 1, and embeddings uniform in [-1, 1]."""
    rng = np.random.default_rng(seed)

    def glorot(m: int, n: int) -> Array:
        return rng.uniform(-1, 1, (m, n)) * np.sqrt(6 / (m + n))

    bias = np.zeros(4 * UNITS)
    bias[UNITS : 2 * UNITS] = 1
    return Weights(
        rng.uniform(-1, 1, (VOCABULARY, FEATURES)), glorot(FEATURES, 4 * UNITS), glorot(UNITS, 4 * UNITS), bias
    )


def one_hot_inputs() -> Array:
    """The input tokens, one-hot: (batch, time, vocabulary)."""
    return np.eye(VOCABULARY)[np.asarray(INPUTS)]


def targets() -> Array:
    """The tokens that the network is to give: (batch, time)."""
    return np.asarray(TARGETS, dtype=np.float64)


def distances() -> Array:
    """How far every token is from the target: (batch, time, UNITS)."""
    return np.abs(np.arange(UNITS) - targets()[..., None])


def functions_of(x: Array) -> Any:
    """Return the array functions of x. The library's own for TensorFlow have what its rules use, which is less."""
    ops: Any = select([x])
    return importlib.import_module(TENSORFLOW) if ops.name == "tensorflow" else ops.xp


def scores(weights: Weights, one_hot: Array) -> Array:
    """Return the probabilities of the tokens: (batch, time, UNITS)."""
    xp = functions_of(weights.embedding)
    x = xp.matmul(one_hot, weights.embedding)  # (batch, time, FEATURES)
    h = c = xp.zeros((x.shape[0], UNITS), dtype=weights.kernel.dtype)
    outputs = []
    for step in range(x.shape[1]):
        z = xp.matmul(x[:, step, :], weights.kernel) + xp.matmul(h, weights.recurrent_kernel) + weights.bias
        i, f, g, o = (z[:, k * UNITS : (k + 1) * UNITS] for k in range(4))
        c = _sigmoid(xp, f) * c + _sigmoid(xp, i) * xp.tanh(g)
        h = _sigmoid(xp, o) * xp.tanh(c)
        outputs.append(h)
    return soft_one_hot(xp.stack(outputs, axis=1), axis=-1)


def _sigmoid(xp: Any, z: Array) -> Array:
    return 0.5 * xp.tanh(0.5 * z) + 0.5  # does not overflow


def hard_argmax(p: Array, *, axis: int, temperature: Any = None, positions: Array | None = None) -> Array:
    """The framework's own argmax, or the position there, with the signature of soft_argmax."""
    xp = functions_of(p)
    index = xp.argmax(p, axis=axis)
    if positions is None:
        return xp.asarray(index, dtype=p.dtype)
    return xp.sum(xp.where(index[..., None] == xp.arange(p.shape[axis]), positions, 0.0), axis=axis)


def mean_square(x: Array) -> Array:
    """Return the mean of ``x^2``."""
    return functions_of(x).mean(x**2)


def squared_distance(weights: Weights, one_hot: Array, target: Array, *, argmax: Any, temperature: float) -> Array:
    """Return the mean of ``(token - target)^2``."""
    return mean_square(argmax(scores(weights, one_hot), axis=-1, temperature=temperature) - target)


def expected_distance(weights: Weights, one_hot: Array, distance: Array, *, argmax: Any, temperature: float) -> Array:
    """Return the mean of ``|token - target|``, read out of the weights with the distances as positions.

    The mean token alone is also right where two wrong ones lie evenly about the target; this is not.
    """
    expected = argmax(scores(weights, one_hot), axis=-1, temperature=temperature, positions=distance)
    return functions_of(weights.embedding).mean(expected)


def tokens(weights: Weights) -> Array:
    """Return what the hard argmax answers."""
    return np.argmax(scores(weights, one_hot_inputs()), axis=-1)
