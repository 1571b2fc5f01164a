"""What the checks of `anyargmax.validation` need of TensorFlow beside the adapter: its dtypes, arrays in and out, compilation."""

import numpy as np
import tensorflow as tf

DTYPES = ("float16", "bfloat16", "float32", "float64")


def asarray(values, dtype=None, device=None):
    values = np.array(values)
    dtype = None if dtype is None else getattr(tf, dtype)
    return tf.cast(tf.convert_to_tensor(values), dtype or values.dtype)


def to_numpy(x):
    """Return the values as a NumPy array, in float64 if NumPy lacks the dtype."""
    return np.asarray(tf.cast(x, tf.float64) if x.dtype == tf.bfloat16 else x)


VIEWS = {"tensorflow": {"dtypes": DTYPES, "asarray": asarray, "to_numpy": to_numpy}}
