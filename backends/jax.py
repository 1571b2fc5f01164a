"""Adapter for JAX: the rules as `custom_jvp`; reverse mode comes by transposition."""

from functools import partial
from typing import Any

import jax
import jax.numpy as namespace
from jax.custom_derivatives import SymbolicZero

name = "jax"
takes_numpy = True  # a NumPy array beside a tracer is a constant
eagerly = jax.ensure_compile_time_eval  # has what is known computed at once, inside `jit` too


# What XLA does best with sums that are used again; never in fewer digits than the arrays have.
maximum_drops_nan = True  # in the loops that XLA makes for a CPU
apart = jax.lax.optimization_barrier  # what comes of it is not merged with what came before
branch = jax.lax.cond  # only one of two functions is computed, but under `vmap` both are
contract = partial(namespace.tensordot, precision=jax.lax.Precision.HIGHEST)
matmul = partial(namespace.matmul, precision=jax.lax.Precision.HIGHEST)


FEW = 2**14  # numbers


def contracts():
    """Whether axes may be merged for a product: among several devices any of them may be sharded, and would be gathered."""
    return jax.device_count() == 1


def _is_on_one_cpu():
    """Whether arrays lie in the memory of one CPU, so that none of their axes is sharded and a slice gathers nothing."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def folds(x):
    """Whether XLA walks across memory for a maximum along any axis but the last."""
    return _is_on_one_cpu()


def merges(x):
    """Whether loops over x are merged by XLA only if nothing is selected in them, and are worth a branch for it."""
    return is_known(x.shape) and x.size > FEW and _is_on_one_cpu()


def is_known(shape):
    """Whether every length is a number: `jax.export` has symbols, that cannot be compared."""
    return all(isinstance(n, int) for n in shape)


PIECE = 2**17  # numbers that stay in a processor's cache
LINE = 64  # numbers beside each other, at least


def in_pieces(f, x, *others):
    """Apply a function that reduces the middle one of three axes, piece by piece on a CPU.

    The others are numbers, None, or arrays to be cut like x.
    """
    if not is_known(x.shape) or not _is_on_one_cpu():
        return f(x, *others)
    before, n, after = x.shape
    wide = before * n * LINE <= 2 * PIECE
    axis, size, unit = (2, after, before * n) if wide else (0, before, n * after)
    width = max(LINE if wide else 1, PIECE // max(unit, 1))
    if size <= width:
        return f(x, *others)

    def piece(start):
        return f(*(cut(a, start) if getattr(a, "ndim", 0) else a for a in (x, *others)))

    def cut(a, start):
        return jax.lax.dynamic_slice_in_dim(a, start, width, axis)

    # The last piece begins earlier, so that it is as wide as the others.
    rest = size % width or width
    starts = namespace.minimum(namespace.arange(-(-size // width)) * width, size - width)
    pieces = jax.lax.map(piece, starts)
    last = jax.lax.slice_in_dim(pieces[-1], width - rest, width, axis=axis)
    whole = namespace.moveaxis(pieces[:-1], 0, axis)
    return namespace.concat([whole.reshape(*whole.shape[:axis], -1, *whole.shape[axis + 2 :]), last], axis=axis)


def detach(x):
    """The value as a constant, which it is already if it is no tracer."""
    return jax.lax.stop_gradient(x) if isinstance(x, jax.core.Tracer) else x


def owns(x):
    return isinstance(x, (jax.Array, jax.core.Tracer))


def is_concrete(x):
    """Whether the values may be looked at: a tracer has none."""
    return not isinstance(x, jax.core.Tracer)


with jax.ensure_compile_time_eval():  # this may be imported while something is traced
    plain_arrays = (type(jax.device_put(0.0)),)


config: Any = jax.config  # whose flags its types do not name


def traits(x):
    """What determines how an array is computed with; where it lies, the compiled call looks at itself."""
    return x.dtype, x.shape, config.x64_enabled


def place(x):
    """Keyword arguments that create an array beside x: none, new arrays are not committed to a device."""
    return {}


def canonical_dtype(dtype):
    """What JAX makes of a dtype: float32 of float64, unless 64 bits are enabled."""
    return jax.dtypes.canonicalize_dtype(dtype)


def default_float():
    return jax.dtypes.canonicalize_dtype(float)


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
    if rule.native:
        return partial(rule.forward, ops)

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
