"""Means under weights that are given, for compilers: a product of matrices on a CPU, and sums elsewhere."""

import math
from functools import partial

from ..._rules.readouts import expected as rules
from ..._rules.rule import Array
from ..kernel import Kernel, KernelOps, Traced
from ..layout import are_neighbours, of


def _fits(ops: KernelOps, p, c, tables, *, axes) -> bool:
    """Whether the positions vary along the reduced axes alone, which may be merged for a product."""
    positions = tables if c is None else (c,)
    alone = all(c.shape[k] == 1 for c in positions for k in range(p.ndim) if k not in axes)
    known = all(isinstance(n, int) for n in p.shape)
    return ops.compiler.contracts() and known and are_neighbours(axes) and alone and math.prod(p.shape) > 0


def _product(ops: KernelOps, p, positions, axes) -> Array:
    """``sum_i c_i p_i``, with the answers last."""
    xp, layout = ops.xp, of(p, axes)
    rows = xp.reshape(p, layout.folded)
    columns = xp.stack([xp.reshape(xp.broadcast_to(c, layout.inside), (-1,)) for c in positions])
    if rows.ndim == 2:
        means = ops.compiler.contract(rows, columns, axes=((1,), (1,)))
    else:
        means = xp.moveaxis(ops.compiler.matmul(xp.broadcast_to(columns, (rows.shape[0], *columns.shape)), rows), 1, -1)
    return xp.reshape(means, (*layout.rest, len(positions)))


def _forward(ops: KernelOps, p, c, tables, *, axes, limits) -> Array:
    xp, positions = ops.xp, tables if c is None else (c,)

    def by_product():
        y = _product(ops, p, positions, axes)

        def blanked(p, y):  # a row without weight is at 0
            return xp.where(xp.expand_dims(xp.any(p != 0, axis=axes), axis=-1), y, math.nan)

        return ops.compiler.branch(xp.any(y[..., 0] == 0), blanked, lambda p, y: y, p, y)

    by_sums = partial(rules.expected, ops, p, c, tables, axes=axes)
    return ops.compiler.on_platform(cpu=by_product, default=by_sums)


def _jvp(ops: KernelOps, t, y, p, c, tables, *, axes, limits) -> Array:
    positions = tables if c is None else (c,)
    by_product = partial(_product, ops, t, positions, axes)
    by_sums = partial(rules.mean, ops, t, positions, axes=axes, given=True)
    return rules.answered(ops, ops.compiler.on_platform(cpu=by_product, default=by_sums), y)


TRACED_MEANS = Kernel("products", traced={"expected": Traced(_fits, forward=_forward, jvp=_jvp)}, needs=("compiler",))
