"""The seed's model in Keras itself, run as a program: weights on standard input, gradients on the output.

Keras' own tanh (on JAX) and mean round float64 to float32, so that those two are the framework's.
"""

import importlib
import json
import sys
from typing import Any

import numpy as np

from .._rules.rule import Array
from .frameworks import Gradients, pull
from .network import FEATURES, INPUTS, TARGETS, TEMPERATURE, UNITS, VOCABULARY, functions_of, mean_square


def _tanh(x: Array) -> Array:
    return functions_of(x).tanh(x)


def keras_gradients(keras: Any, soft_layer: Any, weights: list[Any]) -> tuple[Gradients, Gradients]:
    """Return the gradients of the squared distance through a layer, and through Keras' own argmax."""
    model = keras.Sequential(
        [
            keras.layers.Embedding(VOCABULARY, FEATURES),
            keras.layers.LSTM(UNITS, activation=_tanh, return_sequences=True),
            keras.layers.TimeDistributed(keras.layers.Activation("softmax")),
        ]
    )
    inputs = keras.ops.convert_to_tensor(INPUTS, dtype="int32")
    target = keras.ops.convert_to_tensor(TARGETS, dtype="float64")
    model.build(inputs.shape)
    others = [v.value for v in model.non_trainable_variables]

    def loss_through(argmax):
        def loss(*arrays):
            p, _ = model.stateless_call(list(arrays), others, inputs)
            return mean_square(keras.ops.cast(argmax(p), "float64") - target)

        return loss

    arrays = [keras.ops.convert_to_tensor(w, dtype="float64") for w in weights]
    hard_layer = keras.layers.Lambda(lambda p: keras.ops.argmax(p, axis=-1))
    to_numpy = keras.ops.convert_to_numpy  # TensorFlow's gradient of an embedding holds the rows that were used alone
    soft, hard = (pull(loss_through(layer), *arrays, to_numpy=to_numpy)[1] for layer in (soft_layer, hard_layer))
    return soft, hard


def main() -> None:
    """Read weights, write gradients; a Keras that cannot be imported is said to be missing."""
    weights = [np.asarray(w) for w in json.load(sys.stdin)]
    answer: dict[str, Any] = {"soft": None, "hard": None, "missing": ""}
    try:
        from ..backends.keras import SoftArgmax

        keras = importlib.import_module("keras")
    except ImportError as error:
        answer["missing"] = f"Keras cannot be used: {error}"
    else:
        keras.config.set_floatx("float64")
        soft, hard = keras_gradients(keras, SoftArgmax(axis=-1, temperature=TEMPERATURE), weights)
        answer |= {"soft": soft and [g.tolist() for g in soft], "hard": hard and [g.tolist() for g in hard]}
    print(f"\n{json.dumps(answer)}")


if __name__ == "__main__":
    main()
