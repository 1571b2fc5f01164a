"""Adapter for HIPS autograd: the rules as primitives over `autograd.numpy`."""

from functools import partial

import autograd.numpy as anp
from autograd import make_jvp, make_vjp
from autograd.builtins import tuple as boxed_tuple
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import getval, isbox
from numpy import ndarray

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
    return x if type(x) is ndarray else None


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


def jit(core):
    """Autograd has nothing to compile."""
    return core


def _with_boxes(f):
    def on_tuple(arrays):
        y = f(*arrays)
        return boxed_tuple(y) if isinstance(y, tuple) else y

    return on_tuple


def vjp(f, *arrays):
    pullback, value = make_vjp(_with_boxes(f))(arrays)
    return value, lambda g: tuple(pullback(g))


def jvp(f, arrays, tangents):
    return make_jvp(_with_boxes(f))(tuple(arrays))(tuple(tangents))
