"""The kernel of few operations, for memory in which each of them is a pass: arrays on an accelerator, above all.

The rules select what is infinite or masked in many operations, forward and backward. Here distances from the largest score
are clipped once, so that a framework's own softmax has finite numbers, and the way back is closed: a product with what the
way forward kept. Nothing looks at a value.
"""

import math
from functools import partial
from typing import Any, NamedTuple

from .._rules.jacobian import jacobian_product
from .._rules.readouts.expected import answered
from .._rules.readouts.mean import mean_transposed
from .._rules.readouts.stacked import expand
from .._rules.relaxations import Relaxation
from .._rules.rule import Array
from .kernel import Kernel, KernelOps
from .layout import Layout, are_neighbours, folded, of
from .traced import roots

LOW, HIGH = -1e30, 1e4  # of what exp makes 0 beside 0, and of what it makes 0 beside itself
COLD = 2.0**-6  # from this temperature on, a cotangent is divided by it before weights: below, that may overflow


class _Solved(NamedTuple):
    """The weights; the kept scores; distances from the reference over T, of a T in an array; and that reference score.

    The reference is the largest score of a row, or the k-th: ``-inf`` in rows that are empty, ``+inf`` in those that do not
    move.
    """

    p: Array
    x: Array
    z: Array | None
    reference: Array


def _softmax(ops: KernelOps, x, temperature, axes, layout: Layout) -> _Solved:
    xp = ops.xp
    dtype = x.dtype if xp.finfo(x.dtype).bits >= 32 else xp.float32
    most = float(xp.finfo(dtype).max)
    top = xp.astype(xp.max(x, axis=axes, keepdims=True), dtype, copy=False)
    # Beside +inf, the largest finite number is infinitely far too: +inf is left to be clipped above it.
    z = x - xp.clip(top, -most, most)
    if temperature is not None:
        z /= temperature if isinstance(temperature, float) else xp.clip(temperature, None, most)
    z = xp.clip(z, LOW, HIGH)
    p = xp.reshape(ops.functions.softmax(xp.reshape(z, layout.folded), 1), z.shape)
    return _Solved(p, x, z if hasattr(temperature, "shape") else None, top)


def _by_roots(ops: KernelOps, x, temperature, mask, axes, relaxation: Relaxation, layout: Layout) -> _Solved:
    xp = ops.xp
    wide = x if xp.finfo(x.dtype).bits >= 32 else xp.astype(x, xp.float32)
    t, keep = folded(ops, layout, x, temperature), folded(ops, layout, x, mask)
    p, z, reference = roots.solved(ops, xp.reshape(wide, layout.folded), t, keep, 1, relaxation)
    x = x if mask is None else xp.where(mask, x, -math.inf)
    reduced = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    z = None if z is None else xp.reshape(z, x.shape)
    return _Solved(xp.reshape(p, x.shape), x, z, xp.reshape(reference, reduced))


def _is_still(ops: KernelOps, held: _Solved) -> Array:
    """Whether no score of a row moves."""
    return ops.xp.abs(held.reference) == math.inf


def _solved(ops: KernelOps, x, temperature, alpha, mask, axes, relaxation: Relaxation) -> tuple[_Solved, Layout] | None:
    if not are_neighbours(axes) or math.prod(x.shape) == 0 or alpha is not None:
        return None
    layout = of(x, axes)
    if relaxation.alpha == 1:
        x = x if mask is None else ops.xp.where(mask, x, -math.inf)
        return _softmax(ops, x, temperature, axes, layout), layout
    if roots.is_solvable(ops, x, alpha, axes, relaxation):
        return _by_roots(ops, x, temperature, mask, axes, relaxation, layout), layout
    return None


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Any:
    """Return the weights and their pullback."""
    made = _solved(ops, x, temperature, alpha, mask, axes, relaxation)
    if made is None:
        return None
    held, _ = made
    p = held.p
    if relaxation.alpha == 1:
        xp = ops.xp
        smallest = xp.full_like(held.reference, float(xp.finfo(p.dtype).smallest_normal))
        p = xp.where(p < xp.where(held.reference == -math.inf, math.inf, smallest), 0.0, p)
        held = held._replace(p=p)
    return p, partial(_pulled, ops, held, temperature, axes, relaxation)


def _pulled(ops: KernelOps, held: _Solved, temperature, axes, relaxation, g, needed=(True,)):
    """The cotangents of weights: ``J g / T``, 0 where a score does not move."""
    xp = ops.xp
    g = xp.where(held.p <= xp.where(_is_still(ops, held), math.inf, 0.0), 0.0, g)
    if relaxation.alpha == 1:
        shape = of(held.p, axes).folded
        moved = xp.reshape(ops.functions.softmax_vjp(xp.reshape(g, shape), xp.reshape(held.p, shape), 1), held.p.shape)
    else:
        moved = jacobian_product(ops, g, held.p, None, relaxation, axes, None)
    if temperature is not None:
        moved /= temperature
    return _cotangents(ops, held, axes, moved, needed)


def _cotangents(ops: KernelOps, held: _Solved, axes, moved, needed):
    """The cotangents of scores, in their dtype, and of the temperature: ``dp/dT = -J z / T``.

    A score that is not kept has none, in the row of a NaN either.
    """
    xp, by_temperature = ops.xp, None
    if len(needed) > 1 and needed[1]:
        by_temperature = -xp.sum(moved * held.z, axis=axes, keepdims=True)
    dx = xp.where(held.x == -math.inf, 0.0, xp.astype(moved, held.x.dtype, copy=False)) if needed[0] else None
    return dx, by_temperature, *[None] * (len(needed) - 2)


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Any:
    """Return the expected positions, and their pullback."""
    xp = ops.xp
    made = _solved(ops, x, temperature, alpha, mask, axes, relaxation)
    if made is None or any(
        c.shape[axis] != n for c, axis in zip(positions, axes, strict=True) for n in [x.shape[axis]]
    ):
        return None
    held, layout = made
    tables = [xp.reshape(xp.broadcast_to(c, layout.inside), (-1,)) for c in positions]
    table = tables[0] if len(tables) == 1 else xp.stack(tables, axis=-1)
    means = _contracted(ops, xp.reshape(held.p, layout.folded), table)
    means = xp.reshape(means, (*layout.rest, len(tables)))
    y = xp.where(xp.reshape(held.reference == -math.inf, (*layout.rest, 1)), math.nan, means)
    if relaxation.alpha == 1:
        return y, partial(_pulled_softmax, ops, held, temperature, axes, positions, means)
    return y, partial(_pulled_mean, ops, held, temperature, axes, relaxation, positions)


def _contracted(ops: KernelOps, p, table):
    """The means of the positions in the columns of a table, last."""
    means = ops.functions.contract(p, table)
    return means if p.ndim == 2 or table.ndim == 1 else ops.xp.moveaxis(means, 1, -1)


def _pulled_mean(ops: KernelOps, held, temperature, axes, relaxation, positions, g, needed=(True,)):
    return _pulled(ops, held, temperature, axes, relaxation, mean_transposed(ops, g, positions, axes=axes), needed)


def _pulled_softmax(ops: KernelOps, held: _Solved, temperature, axes, positions, means, g, needed=(True,)):
    """The cotangents of means: ``p sum_k g_k (c_k - y_k) / T``. Of several axes the terms are small, and one is their sum."""
    xp, functions, total = ops.xp, ops.functions, None
    early = isinstance(temperature, float) and temperature >= COLD
    g = xp.where(xp.reshape(_is_still(ops, held), (*g.shape[:-1], 1)), 0.0, g)
    g = g / temperature if early else g
    for k, c in enumerate(positions):
        factor, mean = (expand(ops, array[..., k], axes) for array in (g, means))
        term = (c - mean) * factor if len(positions) > 1 else functions.muladd(factor, c, -factor * mean)
        total = term if total is None else total + term
    late = temperature is not None and not early
    moved = functions.product(total, held.p, held.p.dtype if late else held.x.dtype)
    if late:
        moved /= temperature
    return _cotangents(ops, held, axes, moved, needed)


def _expected(ops: KernelOps, p, c, tables, *, axes, limits) -> Any:
    """Return the means of positions under weights that are given, and their pullback to the weights."""
    xp, positions = ops.xp, tables if c is None else (c,)
    if (
        not are_neighbours(axes)
        or math.prod(p.shape) == 0
        or any(c.shape[k] != 1 for c in positions for k in range(p.ndim) if k not in axes)
    ):
        return None
    layout = of(p, axes)
    columns = [xp.reshape(xp.broadcast_to(c, layout.inside), (-1,)) for c in positions]
    table = columns[0] if len(columns) == 1 else xp.stack(columns, axis=-1)
    means = xp.reshape(_contracted(ops, xp.reshape(p, layout.folded), table), (*layout.rest, len(columns)))
    if not ops.is_cheap_to_read(p) or bool(xp.any(means[..., 0] == 0)):  # a row without weight is at 0
        means = xp.where(xp.expand_dims(xp.any(p != 0, axis=axes), axis=-1), means, math.nan)
    return means, partial(_pulled_expected, ops, means, positions, axes)


def _pulled_expected(ops: KernelOps, means, positions, axes, g, needed=(True,)):
    if any(needed[1:]):
        return None
    return mean_transposed(ops, answered(ops, g, means), positions, axes=axes), *[None] * (len(needed) - 1)


_WEIGHTS = dict.fromkeys(("weights", "dense_weights"), _weights)
FEW = Kernel(
    "few", serves={**_WEIGHTS, "expectation": _expectation, "expected": _expected}, needs=("functions", "ordering")
)
