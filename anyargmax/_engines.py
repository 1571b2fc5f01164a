"""Which public calls an engine may do, and what an adapter needs in order to have it done.

An engine is a faster way to the same numbers: it works on the memory of plain CPU arrays and leaves everything
else to the rules. The environment variable ``ANYARGMAX_ENGINES=0`` turns all of them off.
"""

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from . import _plans
from ._compat import array_namespace
from ._positions import table
from ._rule import Array

ENABLED = os.environ.get("ANYARGMAX_ENGINES", "1") != "0"
NATIVE = 2**16  # scores: up to so many, a framework's own differentiation of native operations is quicker
TABLE = 2**18  # bytes of positions that may be kept for the next call
SMALL_TABLE = 2**14  # positions that are always worth a table


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


def run(ops, key, core, x, arrays, options, answer):
    """Run a core function, by an engine where there is one, and keep the call if it has a key.

    `arrays` go with the scores, the controls first; `answer` is the shape of the answer, None if no engine knows it.
    """
    by_rules = partial(_by_rules, ops, core, arrays, options)
    call, size = by_rules, 0
    if answer is not None:
        soft = options._replace(hard=False)
        rules = partial(_by_rules, ops, core, arrays, soft) if options.hard else by_rules
        engine = expectation(ops, x, arrays[0], soft, answer, rules)
        if engine is not None:
            call, size = partial(ops.fused, engine), engine.keeps
            if options.hard:
                call = partial(_straight_through, ops, call, by_rules)
    if key is not None and size <= TABLE and ops.xp.isdtype(x.dtype, "real floating"):
        _plans.remember(key, call)
    return call(x)


def _by_rules(ops, core, arrays, options, x):
    return ops.run(core, x, *arrays, options=options)


def _straight_through(ops, soft, hard, x):
    """The hard value with the gradient of the soft one, which is then the same to the last bit."""
    return ops.straight_through(soft(x), hard(ops.detach(x)))


def expectation(ops, x, controls, options, shape, core) -> Call | None:
    """Return the call for an expectation under softmax whose answer has this shape; None if there is no engine for it."""
    sizes, divisor = tuple(x.shape), controls.temperature
    dtype = str(x.dtype).rpartition(".")[2]
    known = x.dtype == options.dtype and dtype in ("float32", "float64") and sizes and math.prod(sizes) != 0
    if not (ENABLED and ops.fused and known and _is_dense(controls, options)) or ops.adapter.memory(x) is None:
        return None
    try:
        from . import _blocked
    except ModuleNotFoundError:  # no NumPy
        return None
    mask = None if controls.mask is None else ops.adapter.memory(controls.mask)
    if mask is not None and options.flat:
        mask = mask.reshape(sizes)
    plan = _plan(_blocked, sizes, dtype, divisor, options, shape)
    if plan is None or (mask is None) != (controls.mask is None):
        return None
    small = ops.softmax is not None and mask is None and math.prod(sizes) <= NATIVE
    return Call(
        core,
        partial(_blocked.forward, plan, mask),
        partial(_blocked.backward, plan, mask),
        _native(ops, plan, sizes) if small else None,
        plan.tables.nbytes,
    )


def _is_dense(controls, o) -> bool:
    """Whether the weights are those of softmax at one temperature, and their mean the answer."""
    softmax = o.relaxation.kind == "entmax" and o.relaxation.alpha == 1 and not o.zero_background
    mean = o.readout == "mean" and o.window is None and not o.hard and o.sign == 1
    return softmax and mean and (controls.temperature is None or isinstance(controls.temperature, float))


def _plan(blocked, sizes, dtype, divisor, o, shape):
    """The engine's plan with its table of positions, unless that would be about as large as the scores."""
    from ._bindings import plain

    axes = tuple(range(len(sizes))) if o.flat else o.axes
    n = math.prod(sizes[axis] for axis in axes)
    if (len(o.axes) + 1) * n > max(SMALL_TABLE, math.prod(sizes) // 16):
        return None
    like = blocked.stand_in((n,) if o.flat else sizes, dtype)
    numpy = plain(array_namespace(like))
    tables = [table(numpy, like, axis, o.coordinates) for axis in o.axes]
    if not o.flat:
        tables = blocked.flattened(sizes, axes, tables)
    return blocked.planned(sizes, axes, dtype, tables, divisor, shape)


def _only_nan(xp, z, y) -> bool:
    """Whether NaN is all that is amiss: it makes its own row NaN, which needs no care."""
    explained, finite = xp.any(z != z, axis=1), xp.isfinite(y)
    finite = xp.all(finite, axis=-1) if finite.ndim > explained.ndim else finite
    return bool(xp.all(finite | explained)) and not bool(xp.any(xp.isinf(z)))


def _native(ops, plan, sizes):
    """The same by the framework's own softmax and matrix product, for scores that turn out to need no care.

    An answer that is finite says so: NaN, a ``+inf`` score and a row without any kept score show in it.
    """
    xp, (outer, n, inner) = ops.xp, (plan.outer, plan.n, plan.inner)
    folded = (outer, n) if inner == 1 else (outer, n, inner)
    c = ops.adapter.constant(plan.tables[0] if len(plan.tables) == 2 else plan.tables[:-1].T.copy())
    if inner != 1 and len(plan.tables) != 2:
        return None

    def native(x):
        z = x if folded == sizes else xp.reshape(x, folded)
        if plan.divisor is not None:
            z = (z - xp.max(ops.detach(z), axis=1, keepdims=True)) / plan.divisor
        p = ops.softmax(z, 1)
        y = p @ c if inner == 1 else c @ p
        if not math.isfinite(ops.adapter.total(y)) and not _only_nan(xp, ops.detach(z), ops.detach(y)):
            return None
        return y if y.shape == plan.shape else xp.reshape(y, plan.shape)

    return native
