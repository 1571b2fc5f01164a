"""Adapter for HIPS autograd: the rules as primitives over `autograd.numpy`."""

from functools import partial

import autograd.numpy as anp
import numpy as np
from autograd import make_jvp, make_vjp
from autograd.builtins import tuple as boxed_tuple
from autograd.extend import defjvp, defvjp, primitive
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import getval, isbox

name = "autograd"
takes_numpy = True  # beside a box, every other array is a constant
namespace = anp
owns = isbox
detach = getval
cumulative_sum = anp.cumsum


def is_concrete(x):
    """Whether the values may be looked at: a box always carries its value."""
    return True


def is_cheap_to_read(x):
    """Whether looking at a value waits for nothing: NumPy always has it."""
    return True


def memory(x):
    """The array itself where it is NumPy's own; None for a box, whose operations are recorded."""
    return x if type(x) is np.ndarray else None


def from_memory(array, like):
    """A NumPy array as one of the framework's, without a copy."""
    return array


def place(x):
    """Keyword arguments that create an array beside x."""
    return {}


def default_float():
    return anp.float64


def lift(rule, ops):
    """Register a rule: reverse mode by its VJPs, forward mode by its JVPs, both differentiable again."""
    if rule.native:
        return partial(rule.forward, ops)

    @primitive
    def op(*args, **static):
        return rule.forward(ops, *args, **static)

    def maker(product):
        return lambda ans, *args, **static: lambda g: product(ops, g, ans, *args, **static)

    def pusher(product):
        return lambda t, ans, *args, **static: product(ops, t, ans, *args, **static)

    defvjp(op, *map(maker, rule.vjps))
    defjvp(op, *map(pusher, rule.jvps))
    return op


plain_arrays = (ArrayBox,)


def traits(x):
    """What determines how an array is computed with: of a box round an array, not round another box."""
    value = x._value
    return (value.dtype, value.shape) if type(value) is np.ndarray else None


@primitive
def _fused(x, call, done):
    made = call.forward(x, True)
    if made is None:
        return call.core(x)
    done.update(done=True, kept=made[1])
    return made[0]


def _pull(ans, x, call, done):
    def pull(g):
        if "done" in done and not (isbox(g) or isbox(x)):
            kept = done.pop("kept", None)  # once: the gradient may take over its memory
            dx = call.backward(np.asarray(g), np.asarray(ans), x, kept)
            if dx is not None:
                return dx
        return make_vjp(call.core)(x)[0](g)

    return pull


defvjp(_fused, _pull)
defjvp(_fused, lambda t, ans, x, call, done: make_jvp(call.core)(x)(t)[1])


def fused(call, x):
    """An engine's call: that it did it, and what it keeps for the backward pass to take once, is noted in a dictionary."""
    return _fused(x, call, {})


def jit(core):
    """Autograd has nothing to compile."""
    return core


def _boxed(y):
    return boxed_tuple(y) if isinstance(y, tuple) else y


def vjp(f, *arrays):
    if len(arrays) == 1:  # out of a tuple, the gradient would be added to zeros
        pullback, value = make_vjp(lambda x: _boxed(f(x)))(*arrays)
        return value, lambda g: (pullback(g),)
    pullback, value = make_vjp(lambda arrays: _boxed(f(*arrays)))(arrays)
    return value, lambda g: tuple(pullback(g))


def jvp(f, arrays, tangents):
    return make_jvp(lambda arrays: _boxed(f(*arrays)))(tuple(arrays))(tuple(tangents))
