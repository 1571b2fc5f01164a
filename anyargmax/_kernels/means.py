"""The kernel for means under weights that are given, on plain memory: matrix products, which make no array of their size."""

import math
from functools import partial
from typing import Any, NamedTuple

from .._rules.readouts.expected import answered
from .._rules.readouts.mean import mean_transposed
from .._rules.rule import Array
from .kernel import NEVER, Kernel, KernelOps, Load, Step
from .layout import are_neighbours, of
from .whole import Call, MemoryCall, running

COST = 0.5


class _Table(NamedTuple):
    """What the entries of rows stand for, and how an array of weights is seen."""

    folded: tuple[int, ...]  # (outer, n), or (outer, n, inner)
    columns: tuple[Any, ...]  # of positions, one for each answer
    shape: tuple[int, ...]  # of the result

    @property
    def rows(self) -> tuple[int, ...]:
        return self.folded[:1] + self.folded[2:]


def _answers(table: _Table, p):
    """``sum_i c_i p_i``, with the answers last; NaN in rows without weight, which are at 0 before."""
    import numpy as np

    rows = p.reshape(table.folded)
    if rows.ndim == 2:
        means = [rows.dot(c) for c in table.columns]  # which warns of no infinity
    else:
        with np.errstate(all="ignore"):
            means = [c @ rows for c in table.columns]
    y = means[0] if len(means) == 1 else np.stack(means, axis=-1)
    if np.count_nonzero(y) != y.size:
        weighted = (rows != 0).any(axis=1)
        weighted = weighted if len(means) == 1 else weighted[..., None]
        y = np.where(weighted, y, np.asarray(math.nan, dtype=y.dtype))
    return y.reshape(table.shape)


def _still(table: _Table, y):
    """Which rows have no answer, with the answers last; None if all of them have one."""
    flat = y.reshape(-1)
    if math.isfinite(flat.dot(flat)):  # which warns of no infinity
        return None
    return (y.reshape((*table.rows, len(table.columns))) != y.reshape((*table.rows, -1))).any(axis=-1, keepdims=True)


def _spread(table: _Table, g):
    """The cotangent of the weights: ``sum_k g_k c_k``, of the shape that they are seen in."""
    import numpy as np

    inner = len(table.folded) == 3
    if len(table.columns) == 1:
        (c,), (g,) = table.columns, np.moveaxis(g, -1, 0)
        return g[:, None] * (c[:, None] if inner else c)
    positions = np.stack(table.columns)
    return np.matmul(positions.T, np.moveaxis(g, -1, 1)) if inner else g @ positions


def _table_of(call: Call) -> _Table:
    plan = call.plan
    folded = (plan.outer, plan.n) if plan.inner == 1 else (plan.outer, plan.n, plan.inner)
    return _Table(folded, tuple(plan.positions), tuple(plan.shape))


def _forward(table: _Table, x, keep, beside):
    y = _answers(table, x)
    return y, ((_still(table, y),) if keep else None)


def _backward(table: _Table, sizes, g, y, x, kept, beside):
    """None where nothing was kept, such as under checkpointing."""
    if kept is None:
        return None
    import numpy as np

    (still,) = kept
    with np.errstate(all="ignore"):
        g = g.reshape((*table.rows, len(table.columns))).astype(table.columns[0].dtype, copy=False)
        g = g if still is None else np.where(still, np.zeros((), dtype=g.dtype), g)
        return (_spread(table, g).reshape(sizes),)


def _plan(ops: KernelOps, call: Call, limits) -> Step | None:
    if not call.has_only() or call.plan.moments:
        return None
    table = _table_of(call)
    held = MemoryCall(call.by_rules, partial(_forward, table), partial(_backward, table, call.sizes), lasts=True)
    fresh = ops.functions is not None
    return Step("means", running(ops.memory, held), partial(_cost, fresh), call.plan.positions.nbytes)


def _cost(fresh: bool, load: Load) -> float:
    """Not if a gradient follows in a framework that has an allocator of its own, whose pages are there already."""
    return NEVER if fresh and load[0] else COST


def _column(c, axes, inside):
    """Positions that vary along the reduced axes alone, in order; None if they vary along others."""
    import numpy as np

    if any(n != 1 for k, n in enumerate(c.shape) if k not in axes):
        return None
    return c.reshape(-1) if math.prod(c.shape) == math.prod(inside) else np.broadcast_to(c, inside).reshape(-1)


def _expected(ops: KernelOps, p: Array, c, tables, *, axes, limits) -> Any:
    """Return the means, and their pullback to the weights."""
    import numpy as np

    opened = [ops.memory.open(array) for array in (p, *(tables if c is None else (c,)))]
    known = all(array is not None and array.dtype in (np.float32, np.float64) for array in opened)
    if not known or not are_neighbours(axes) or math.prod(p.shape) == 0:
        return None
    weights, *positions = opened
    layout = of(weights, axes)
    columns = [_column(array, axes, layout.inside) for array in positions]
    if any(column is None for column in columns):
        return None
    table = _Table(layout.folded, tuple(columns), (*layout.rest, len(columns)))
    y = ops.memory.close(_answers(table, weights), p)
    return y, partial(_pulled, ops, y, tables if c is None else (c,), axes)


def _pulled(ops: KernelOps, y, positions, axes, g, needed=(True,)):
    """The cotangent of the weights, in operations of the framework: they take memory from its own allocator."""
    if any(needed[1:]):
        return None
    return mean_transposed(ops, answered(ops, g, y), positions, axes=axes), *[None] * (len(needed) - 1)


MEANS = Kernel("means", plans={"given": _plan}, serves={"expected": _expected}, needs=("memory",))
