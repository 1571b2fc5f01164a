"""Adapter for HIPS autograd: the rules as primitives over `autograd.numpy`."""

from functools import partial

import autograd.numpy as anp
import numpy as np
from autograd import make_jvp, make_vjp
from autograd.builtins import tuple as boxed_tuple
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import getval, isbox

from ..._kernels import selection
from ..._kernels.random import of_generators
from .memory import array_classes, memory, traits  # noqa: F401 - the library asks for them here


def _always(value):
    return lambda *_: value


name = "autograd"
takes_numpy = True  # beside a box, every other array is a constant
namespace = anp
owns, detach = isbox, getval
concat, cumulative_sum = anp.concatenate, anp.cumsum
is_concrete = is_cheap_to_read = _always(True)  # a box always carries its value
place = _always({})  # keyword arguments that create an array beside another
random = of_generators(np, place)
default_float = _always(anp.float64)
quietly = np.errstate(all="ignore")  # of NumPy's warnings, round every rule
eagerly = partial(np.errstate, all="ignore")


def _whole(y):
    """An array where NumPy makes a number of one without axes."""
    return np.asarray(y) if isinstance(y, np.generic) else y


def _in_dtype_of(x, dx):
    """A gradient in the dtype of what it is the gradient of: autograd makes some float64."""
    return dx if dx.dtype == x.dtype else dx.astype(x.dtype)


def lift(rule, ops):
    """Register a rule: reverse mode by its VJPs, forward mode by its JVPs, both differentiable again."""
    if rule.inlined:
        return quietly(partial(rule.composite, ops))

    @primitive
    @quietly
    def op(*args, **static):
        return _whole(selection.forward(rule, ops, args, static))

    def maker(k, product):
        product = quietly(product)
        return lambda ans, *args, **static: lambda g: _in_dtype_of(args[k], product(ops, g, ans, *args, **static))

    defvjp(op, *map(maker, range(len(rule.vjps)), rule.vjps))
    defjvp(op, *(partial(quietly(product), ops) for product in rule.jvps))
    return op


def _boxed(y):
    return boxed_tuple(y) if isinstance(y, tuple) else y


def vjp(f, *arrays):
    if len(arrays) == 1:  # out of a tuple, the gradient would be added to zeros
        pullback, value = make_vjp(lambda x: _boxed(f(x)))(*arrays)
        return value, quietly(lambda g: (_whole(pullback(g)),))
    pullback, value = make_vjp(lambda arrays: _boxed(f(*arrays)))(arrays)
    return value, quietly(lambda g: tuple(map(_whole, pullback(g))))


@quietly
def jvp(f, arrays, tangents):
    value, tangent = make_jvp(lambda arrays: _boxed(f(*arrays)))(arrays)(tangents)
    if isinstance(value, tuple):
        return value, tuple(_in_dtype_of(y, _whole(dy)) for y, dy in zip(value, tangent, strict=True))
    return value, _in_dtype_of(value, _whole(tangent))
