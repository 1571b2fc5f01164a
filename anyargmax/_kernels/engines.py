"""Which public calls an engine may do, and what an adapter needs in order to have it done.

An engine is a faster way to the same numbers: it works on the memory of plain CPU arrays and leaves everything
else to the rules.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .._rules.positions import table
from .._rules.rule import Array
from . import switch

ALONE = 2**14  # scores: up to so many, native operations are quicker without a gradient
NATIVE = 2**19  # and with one
QUICK = 2**17  # the same where the framework lends the engine a quick exponential
HUGE = 2**25  # bytes: memory that is new in pages of 4 KiB each time, unless NumPy asks for larger ones
FEW_THREADS = 2  # with more, native operations, which run on all of them, outrun an engine that mostly runs on one


class Call(NamedTuple):
    """A validated call as a function of the scores alone, in the ways it can be done.

    ``core(x)`` is the way of the rules: any array, differentiable. The others may answer None, and then the
    core must do it. ``forward(x, keep)`` and ``backward(g, y, x, kept)`` take and give NumPy arrays; the first
    returns y and, if it is to keep them, what the second can use, once, instead of computing it again.
    ``native(x)`` is differentiable by the framework itself; None where nothing is gained by it.
    """

    core: Callable[[Array], Array]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    native: Callable[[Array], Any] | None
    keeps: int  # bytes of tables
    alone: int  # scores: up to so many, the native way is quicker without a gradient
    recorded: int  # and with one
    needs_answer: bool = False  # whether the backward looks at y: a caller may not write into it then


def is_native_quicker(call: Call, size: int, itemsize: int, recorded: bool, threads: int) -> bool:
    """Whether the native way is the better one for so many scores and threads."""
    limit = call.recorded if recorded else call.alone
    if threads > FEW_THREADS:
        limit = max(limit, HUGE // itemsize - 1)
    elif threads > 1:
        limit = max(limit, QUICK)
    return size <= limit


def is_engined(ops, x, controls, o) -> bool:
    """Whether the weights are those of softmax at one temperature, and the memory of x may be read."""
    if not (switch.ENABLED and ops.fused):  # a framework without kernels may have lazy shapes
        return False
    softmax = o.relaxation.alpha == 1 and not o.zero_background and o.window is None
    number = controls.temperature is None or isinstance(controls.temperature, float)
    known = x.dtype == o.dtype and str(x.dtype).rpartition(".")[2] in ("float32", "float64")
    there = x.ndim > 0 and math.prod(x.shape) != 0
    return bool(softmax and number and known and there and ops.memory(ops.detach(x)) is not None)


def expectation(ops, x, controls, options, core, *, answer) -> Call | None:
    """The call for a mean, or mean and variance, under softmax, of this shape; None if there is no engine for it."""
    try:
        from .blocks import dense, dense_vjp
    except ModuleNotFoundError:  # no NumPy
        return None
    sizes = tuple(x.shape)
    mask = None if controls.mask is None else ops.memory(controls.mask)
    if mask is not None and options.flat:
        mask = mask.reshape(sizes)
    plan = _plan(ops, dense, x, controls, options, answer)
    if plan is None or (mask is None) != (controls.mask is None):
        return None
    limit = QUICK if ops.exp_in_memory else NATIVE
    limit = limit if plan.divisor is None else limit // 4  # natively, a temperature is two passes more
    return Call(
        core,
        partial(dense.forward, plan, mask),
        partial(dense_vjp.backward, plan, mask),
        _native(ops, plan, sizes) if ops.softmax and mask is None else None,
        plan.tables.nbytes,
        ALONE,
        limit,
    )


def weights(ops, x, controls, options, core) -> Call | None:
    """The call for the weights of softmax; None if there is no engine for it."""
    try:
        from .blocks import dense, dense_weights
    except ModuleNotFoundError:  # no NumPy
        return None
    if controls.mask is not None:
        return None
    plan = _plan(ops, dense, x, controls, options, tuple(x.shape), positions=False)
    if plan is None:
        return None
    limit = HUGE // plan.tables.itemsize - 1
    return Call(
        core,
        partial(dense_weights.forward, plan, None),
        partial(dense_weights.backward, plan, None),
        _native_weights(ops, controls.temperature, options.axes) if ops.softmax and len(options.axes) == 1 else None,
        plan.tables.nbytes,
        limit,
        limit,
        needs_answer=True,
    )


def _plan(ops, blocked, x, controls, o, answer, positions=True):
    """The engine's plan, with its table of positions if it needs one."""
    sizes, dtype = tuple(x.shape), str(x.dtype).rpartition(".")[2]
    axes = tuple(range(len(sizes))) if o.flat else o.axes
    n = math.prod(sizes[axis] for axis in axes)
    divisor = controls.temperature if o.sign == 1 else -(controls.temperature or 1.0)
    tables = []
    if positions:
        like = blocked.stand_in((n,) if o.flat else sizes, dtype)
        tables = [table(blocked.NUMPY, like, axis, o.coordinates) for axis in o.axes]
        tables = tables if o.flat else blocked.flattened(sizes, axes, tables)
    return blocked.planned(sizes, axes, dtype, tables, divisor, answer, o.readout == "moments", ops.exp_in_memory)


def _only_nan(xp, z, y) -> bool:
    """Whether NaN is all that is amiss: it makes its own row NaN, which needs no care."""
    explained, finite = xp.any(z != z, axis=1), xp.isfinite(y)
    finite = xp.all(finite, axis=-1) if finite.ndim > explained.ndim else finite
    return bool(xp.all(finite | explained)) and not bool(xp.any(xp.isinf(z)))


def _native(ops, plan, sizes):
    """Return an expectation by the framework's own softmax and matrix product, for scores that turn out to need no care.

    An answer that is finite says so: NaN, a ``+inf`` score and a row without any kept score show in it.
    """
    xp, (outer, n, inner) = ops.xp, (plan.outer, plan.n, plan.inner)
    folded = (outer, n) if inner == 1 else (outer, n, inner)
    c = ops.constant(plan.tables[0] if len(plan.tables) == 2 else plan.tables[:-1].T.copy())
    if (len(plan.tables) == 2) + (inner == 1) + (not plan.moments) < 2:
        return None  # further from a mean of rows, native operations are no quicker

    def native(x):
        rows = z = x if folded == sizes else xp.reshape(x, folded)
        if plan.divisor is not None:
            top = (xp.max if plan.divisor > 0 else xp.min)(ops.detach(z), axis=1, keepdims=True)
            z = (z - top) / plan.divisor
        p = ops.softmax(z, 1)
        y = p @ c if inner == 1 else c @ p
        if plan.moments:
            y = xp.stack([y, xp.sum(p * (c - y[:, None]) ** 2, axis=1)], axis=-1)
        if not math.isfinite(ops.total(y)) and not _only_nan(xp, ops.detach(rows), ops.detach(y)):
            return None
        return y if y.shape == plan.shape else xp.reshape(y, plan.shape)

    return native


def _native_weights(ops, temperature, axes):
    """The framework's own softmax, for scores of which none is so low that its weight would vanish, nor infinite, nor NaN."""
    xp, (axis,) = ops.xp, axes

    def native(x):
        z = x
        if temperature is not None:
            z = (x - xp.max(ops.detach(x), axis=axis, keepdims=True)) / temperature
        p = ops.softmax(z, axis)
        return p if float(xp.min(ops.detach(p))) > float(xp.finfo(p.dtype).smallest_normal) else None

    return native
