"""The array functions of the Array API standard that the rules use, on tensors of TensorFlow.

TensorFlow has such a namespace only if its tensors are made to behave as NumPy's arrays everywhere. That is the user's choice.
"""

from types import SimpleNamespace

import numpy as np
import tensorflow as tf

__name__ = "tensorflow"  # what messages call it

bool = tf.bool  # noqa: A001
float16, bfloat16, float32, float64 = tf.float16, tf.bfloat16, tf.float32, tf.float64
int8, int32, int64, uint8 = tf.int8, tf.int32, tf.int64, tf.uint8
abs, cos, exp, expm1, round = tf.abs, tf.cos, tf.exp, tf.math.expm1, tf.round  # noqa: A001
log, log1p, sqrt = tf.math.log, tf.math.log1p, tf.sqrt
isfinite, isinf = tf.math.is_finite, tf.math.is_inf
_WIDTHS = {tf.float16: 16, tf.bfloat16: 16, tf.float32: 32, tf.float64: 64}


def _axes(axis):
    return axis if axis is None or isinstance(axis, int) else list(axis)


def _reduction(reduce):
    return lambda x, *, axis=None, keepdims=False: reduce(x, axis=_axes(axis), keepdims=keepdims)


all, any = _reduction(tf.reduce_all), _reduction(tf.reduce_any)  # noqa: A001
max, min, sum = _reduction(tf.reduce_max), _reduction(tf.reduce_min), _reduction(tf.reduce_sum)  # noqa: A001


def ones_like(x, *, dtype=None):
    return tf.ones_like(x, dtype=dtype)


def zeros_like(x, *, dtype=None):
    return tf.zeros_like(x, dtype=dtype)


def full_like(x, value, *, dtype=None):
    return tf.zeros_like(x, dtype=dtype) + tf.cast(value, dtype or x.dtype)


def zeros(shape, *, dtype=tf.float32):
    return tf.zeros(shape, dtype=dtype)


def arange(n, *, dtype=tf.int32):
    return tf.cast(tf.range(n), dtype)


def argmax(x, *, axis=None, keepdims=False):
    first = tf.argmax(tf.reshape(x, (-1,)) if axis is None else x, axis=axis or 0)
    if not keepdims:
        return first
    return tf.reshape(first, (1,) * x.shape.rank) if axis is None else tf.expand_dims(first, axis)


def asarray(values, *, dtype=None):
    return (
        tf.cast(values, dtype)
        if tf.is_tensor(values) and dtype is not None
        else tf.convert_to_tensor(values, dtype=dtype)
    )


def astype(x, dtype, *, copy=True):
    return tf.cast(x, dtype)


def bitwise_invert(x):
    return tf.bitwise.invert(x)


def broadcast_to(x, shape):
    return tf.broadcast_to(x, shape)


def _pair(x, y):
    """Two operands, of which one may be a number, in the dtype of the other."""
    if tf.is_tensor(x):
        return x, y if tf.is_tensor(y) else _number(y, x.dtype)
    return (_number(x, y.dtype), y) if tf.is_tensor(y) else (x, y)


def _number(value, dtype):
    """A number in a dtype, as NumPy converts it: TensorFlow refuses an infinity."""
    return tf.constant(np.asarray(value).astype(dtype.as_numpy_dtype))


def maximum(x, y):
    return tf.maximum(*_pair(x, y))


def minimum(x, y):
    return tf.minimum(*_pair(x, y))


def where(condition, x, y):
    return tf.where(condition, *_pair(x, y))


def clip(x, low=None, high=None):
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def concat(arrays, *, axis=0):
    return tf.concat(arrays, axis=axis)


def stack(arrays, *, axis=0):
    return tf.stack(arrays, axis=axis)


def cumulative_sum(x, *, axis):
    return tf.cumsum(x, axis=axis)


def expand_dims(x, *, axis=0):
    return tf.expand_dims(x, axis)


def flip(x, *, axis):
    return tf.reverse(x, [axis])


def moveaxis(x, source, destination):
    return tf.experimental.numpy.moveaxis(x, source, destination)


def reshape(x, shape):
    return tf.reshape(x, [-1 if n is None else n for n in shape])


def sort(x, *, axis=-1):
    return tf.sort(x, axis=axis)


def isdtype(dtype, kind):
    kinds = kind if isinstance(kind, tuple) else (kind,)
    found = (
        "bool" if dtype.is_bool else "real floating" if dtype.is_floating else "integral" if dtype.is_integer else ""
    )
    return found in kinds


def finfo(dtype):
    import ml_dtypes

    limits = ml_dtypes.finfo(dtype.as_numpy_dtype)
    return SimpleNamespace(
        bits=_WIDTHS[dtype], eps=limits.eps, max=limits.max, min=limits.min, smallest_normal=limits.smallest_normal
    )


def iinfo(dtype):
    return np.iinfo(dtype.as_numpy_dtype)


def __getattr__(name):
    """What the rules do not use, for functions of users: NumPy's, as TensorFlow has them."""
    return getattr(tf.experimental.numpy, name)
