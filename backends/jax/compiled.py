"""What XLA does best: the forms of sums and loops that it makes little work of, and when."""

from functools import partial

import jax
import jax.numpy as namespace

from ..._kernels.kernel import Compiler
from .sharded import zero

maximum_drops_nan = True  # in the loops that XLA makes for a CPU


def waits(x):
    """Whether the values of x lie on a device other than a CPU: a tracer has none, and NumPy's are at hand."""
    is_array = isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)
    return is_array and any(device.platform != "cpu" for device in x.devices())


def _contracts():
    """Whether axes may be merged for a product: among several devices any of them may be sharded, and would be gathered."""
    return jax.device_count() == 1


def _is_on_one_cpu():
    """Whether arrays lie in the memory of one CPU, so that none of their axes is sharded and a slice gathers nothing."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def folds(x):
    """Whether XLA walks across memory for a maximum along any axis but the last."""
    return _is_on_one_cpu()


def _merges(x, limits):
    """Whether loops over x are merged by XLA only if nothing is selected in them, and are worth a branch for it."""
    return is_known(x.shape) and x.size > limits.few and _is_on_one_cpu()


def is_known(shape):
    """Whether every length is a number: `jax.export` has symbols, that cannot be compared."""
    return all(isinstance(n, int) for n in shape)


def _in_pieces(limits, f, x, *others):
    """Apply a function that reduces the middle one of three axes, piece by piece on a CPU.

    The others are numbers, None, or arrays to be cut like x.
    """
    if not is_known(x.shape) or not _is_on_one_cpu():
        return f(x, *others)
    before, n, after = x.shape
    wide = before * n * limits.line <= 2 * limits.piece
    axis, size, unit = (2, after, before * n) if wide else (0, before, n * after)
    width = max(limits.line if wide else 1, limits.piece // max(unit, 1))
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


def _apart(*arrays):
    """A barrier on a CPU alone: elsewhere a sum is not made again for each entry, and is better merged."""
    return jax.lax.platform_dependent(cpu=lambda: jax.lax.optimization_barrier(arrays), default=lambda: arrays)


def iterate(advance, state, unrolled):
    """Advance a state until its last entry is False everywhere: a loop that is compiled once."""

    def unfinished(counted):
        count, state = counted
        return (count < 4 * unrolled) & namespace.any(state[-1])

    def count_and_advance(counted):
        count, state = counted
        return count + 1, advance(state)

    return jax.lax.while_loop(unfinished, count_and_advance, (zero(state[-1]), state))[1]


def sum_of_shifts(a, b, first, size):
    """A loop of as many steps as a has entries, which is compiled once."""

    def add(carried, factor):
        total, low = carried
        return (total + factor * jax.lax.dynamic_slice_in_dim(b, low, size), low - 1), None

    start = namespace.zeros_like(a[0] * b[:size]), namespace.asarray(first, "int32")
    return jax.lax.scan(add, start, a)[0][0]


compiler = Compiler(
    contracts=_contracts,
    contract=partial(namespace.tensordot, precision=jax.lax.Precision.HIGHEST),
    matmul=partial(namespace.matmul, precision=jax.lax.Precision.HIGHEST),
    merges=_merges,
    branch=jax.lax.cond,  # under `vmap`, both functions are computed
    in_pieces=_in_pieces,
    apart=_apart,
    on_platform=jax.lax.platform_dependent,  # which traces both, and lowers one
)
