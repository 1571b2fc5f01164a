"""How TensorFlow draws integers: by a `tf.random.Generator`."""

import tensorflow as tf

from ..._kernels.random import Random


def _integers(key, bound, lead, x):
    known = tf.TensorShape(lead).concatenate(x.shape)
    shape = known if known.is_fully_defined() else tf.concat([lead, tf.shape(x)], axis=0)
    drawn = key.uniform(shape, maxval=bound, dtype=tf.int32)
    drawn.set_shape(known)
    return drawn


random = Random(
    "a tf.random.Generator",
    "tf.random.Generator.from_seed(0)",
    lambda key: isinstance(key, tf.random.Generator),
    _integers,
)
