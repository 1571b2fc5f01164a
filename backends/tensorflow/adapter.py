"""Adapter for TensorFlow: the rules as `tf.custom_gradient`, nested so that derivatives are differentiable again."""

from functools import partial

import tensorflow as tf

from . import namespace  # noqa: F401 - the library asks for it here
from .derivatives import jvp, placed, vjp  # noqa: F401
from .random import random  # noqa: F401

name = "tensorflow"
takes_numpy = True  # beside a tensor, an array of NumPy is a constant
maximum_drops_nan = True
owns = tf.is_tensor


def detach(x):
    return tf.stop_gradient(x) if tf.is_tensor(x) else x


def is_concrete(x):
    """Whether values may be looked at: those of a graph may not."""
    return tf.executing_eagerly() and not tf.is_symbolic_tensor(x)


def is_cheap_to_read(x):
    return False


def place(x):
    """Keyword arguments that create a tensor beside x: none, TensorFlow places it."""
    return {}


def default_float():
    return tf.float32


def jit(core):
    """A call of tensors, also of what a variable holds now: nothing is compiled."""
    return lambda x, *args, **options: core(tf.convert_to_tensor(x), *args, **options)


def iterate(advance, state, unrolled):
    """Advance a state until its last entry is False everywhere: in a graph by a loop of TensorFlow."""
    if is_concrete(state[0]):
        for _ in range(4 * unrolled):
            state = advance(state)
            if not bool(tf.reduce_any(state[-1])):
                break
        return state
    return tf.while_loop(
        lambda *state: tf.reduce_any(state[-1]),
        lambda *state: tuple(advance(state)),
        tuple(state),
        maximum_iterations=4 * unrolled,
    )


def _fitted(argument, gradient):
    """A cotangent in the dtype and the shape of its argument, which may have been broadcast."""
    gradient = tf.cast(gradient, argument.dtype)
    lost = gradient.shape.rank - argument.shape.rank
    wide = [lost + k for k, n in enumerate(argument.shape) if n == 1 and gradient.shape[lost + k] != 1]
    if lost or wide:
        gradient = tf.reduce_sum(gradient, axis=[*range(lost), *wide], keepdims=True)
        gradient = tf.reshape(gradient, tf.shape(argument)) if lost else gradient
    return gradient


def lift(rule, ops):
    """Register a rule's VJPs. The answer that they need is made again by the rule, so that it is differentiated too."""
    if rule.inlined:
        return partial(rule.composite, ops)

    def op(*args, **static):
        args = tuple(tf.convert_to_tensor(arg) if isinstance(arg, tf.Variable) else arg for arg in args)
        count = len(rule.vjps)
        moving = [k for k, arg in enumerate(args[:count]) if tf.is_tensor(arg) and arg.dtype.is_floating]

        @tf.custom_gradient
        def made(*given):
            y = rule.forward(ops, *map(detach, placed(args, moving, given)), **static)

            def pull(g):
                full = placed(args, moving, given)
                again = op(*full, **static)
                products = [rule.vjps[k](ops, g, again, *full, **static) for k in moving]
                return [_fitted(args[k], product) for k, product in zip(moving, products, strict=True)]

            return y, pull

        return made(*(args[k] for k in moving)) if moving else rule.forward(ops, *args, **static)

    return op
