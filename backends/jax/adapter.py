"""Adapter for JAX: the rules as `custom_jvp`; reverse mode comes by transposition."""

from functools import partial
from typing import Any

import jax
import jax.numpy as namespace
from jax.custom_derivatives import SymbolicZero

from .compiled import compiler, folds, kth_largest, maximum_drops_nan, sum_of_shifts, waits  # noqa: F401 - asked for here
from .groups import members  # noqa: F401
from .random import random  # noqa: F401

name = "jax"
takes_numpy = True  # a NumPy array beside a tracer is a constant
eagerly = jax.ensure_compile_time_eval  # has what is known computed at once, inside `jit` too


def detach(x):
    """The value as a constant, which it is already if it is no tracer."""
    return jax.lax.stop_gradient(x) if isinstance(x, jax.core.Tracer) else x


def owns(x):
    return isinstance(x, (jax.Array, jax.core.Tracer))


def is_concrete(x):
    """Whether the values may be looked at: a tracer has none."""
    return not isinstance(x, jax.core.Tracer)


with jax.ensure_compile_time_eval():  # this may be imported while something is traced
    array_classes = (type(jax.device_put(0.0)),)


config: Any = jax.config  # whose flags its types do not name


def traits(x):
    """What determines how an array is computed with; where it lies, the compiled call looks at itself."""
    return x.dtype, x.shape, config.x64_enabled


def place(x):
    """Keyword arguments that create an array beside x: none, new arrays are not committed to a device."""
    return {}


canonical_dtype = jax.dtypes.canonicalize_dtype  # float32 of float64, unless 64 bits are enabled
default_float = partial(canonical_dtype, float)


def iterate(advance, state, unrolled):
    """Advance a state until its last entry is False everywhere: a loop that is compiled once."""

    def unfinished(counted):
        count, state = counted
        return (count < 4 * unrolled) & namespace.any(state[-1])

    def count_and_advance(counted):
        count, state = counted
        return count + 1, advance(state)

    return jax.lax.while_loop(unfinished, count_and_advance, (0, state))[1]


def lift(rule, ops):
    """Register a rule's JVPs; they are linear in the tangent, so JAX transposes them for reverse mode."""
    if rule.inlined:
        return partial(rule.composite, ops)

    @partial(jax.custom_jvp, nondiff_argnums=(0,))
    def op(static, *args):
        return rule.forward(ops, *args, **dict(static))

    def push(static, primals, tangents):
        y = op(static, *primals)
        moved = [
            product(ops, t, y, *primals, **dict(static))
            for product, t in zip(rule.jvps, tangents, strict=False)
            if t is not None and not isinstance(t, SymbolicZero)
        ]
        return y, sum(moved[1:], moved[0]) if moved else namespace.zeros_like(y)

    op.defjvp(push, symbolic_zeros=True)
    return lambda *args, **static: op(tuple(static.items()), *args)


def jit(core):
    """Compile a whole call once for each shape and set of options: an eager call is 35 times faster so."""
    return jax.jit(core, static_argnames="options")


def vjp(f, *arrays):
    return jax.vjp(f, *arrays)


def jvp(f, arrays, tangents):
    return jax.jvp(f, tuple(arrays), tuple(tangents))
