"""Explicit derivatives by TensorFlow's tapes."""

import tensorflow as tf


def placed(args, moving, given):
    """Arguments with others in some places."""
    full = list(args)
    for k, x in zip(moving, given, strict=True):
        full[k] = x
    return full


def _structured(y, parts):
    return tuple(parts) if isinstance(y, tuple) else parts[0]


def vjp(f, *arrays):
    moving = [k for k, x in enumerate(arrays) if x.dtype.is_floating]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([arrays[k] for k in moving])
        y = f(*arrays)

    def pull(g):
        found = tape.gradient(y, [arrays[k] for k in moving], g, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tuple(placed([None] * len(arrays), moving, found))

    return y, pull


def jvp(f, arrays, tangents):
    """The pullback is linear in its cotangent, and its own pullback is the pushforward."""
    with tf.GradientTape(persistent=True) as outer:
        y, pull = vjp(f, *arrays)
        gs = _structured(y, [tf.zeros_like(part) for part in (y if isinstance(y, tuple) else (y,))])
        outer.watch(gs)
        pulled = pull(gs)
    moved = [(x, t) for x, t in zip(pulled, tangents, strict=True) if x is not None]
    tangent = outer.gradient(
        [x for x, _ in moved], gs, [t for _, t in moved], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return y, tangent
