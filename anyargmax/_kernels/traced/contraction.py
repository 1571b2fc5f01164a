"""The expectation under softmax as one contraction, for frameworks whose compiler handles that best.

``sum e`` and ``sum c e`` of a row are the product of ``e = exp(z - max z)`` with a table ``[1, c]``. A compiler may
compute a sum again inside each use of it, for every entry of the row; a product it computes once.
"""

import math
from functools import partial
from typing import NamedTuple

from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array, Rule
from ..._rules.scores import divided, kept_and_reference, scaled, square_root
from ..kernel import Kernel, KernelOps, Traced
from .shifted_exp import live, slope_temperature, slope_x


class Limits(NamedTuple):
    """Numbers of scores at which another form is quicker."""

    tiny: int = 2**10  # up to so many, a call of a matrix product takes longer than the sums
    few: int = 2**14  # up to so many, a branch costs more than what is selected in the loops
    piece: int = 2**17  # so many stay in a processor's cache
    line: int = 64  # so many lie beside each other, at least


def _fits(ops: KernelOps, *args, axes, relaxation: Relaxation) -> bool:
    """Whether the framework contracts, and the weights are softmax's along neighbouring axes in order."""
    if relaxation.alpha != 1 or not ops.compiler.contracts():
        return False
    return axes == tuple(range(axes[0], axes[0] + len(axes)))


def _merged(ops: KernelOps, x, shape, axes):
    """The axes as one, behind all before them and before all behind them; a number or None stays what it is."""
    if getattr(x, "ndim", 0) == 0:
        return x
    n = math.prod(x.shape[axis] for axis in axes)
    before, after = math.prod(shape[: axes[0]]), math.prod(shape[axes[-1] + 1 :])
    return ops.xp.reshape(x, (before, n) if axes[-1] == len(shape) - 1 else (before, n, after))


def _table(ops: KernelOps, shape, positions, axes):
    """``[1, c]`` for the entries along the merged axes: the 1 and each of the positions, shape (n,)."""
    xp = ops.xp
    sizes = tuple(shape[axis] for axis in axes)
    laid = [xp.broadcast_to(xp.reshape(c, (-1,) + (1,) * (len(sizes) - k - 1)), sizes) for k, c in enumerate(positions)]
    return [xp.reshape(c, (math.prod(sizes),)) for c in (xp.ones_like(laid[0]), *laid)]


def _top(ops: KernelOps, x):
    """The largest score of each row: by a reduction, which a compiler may merge with what follows."""
    reduce = ops.xp.max if math.prod(x.shape) != 0 else ops.xp.sum
    return reduce(ops.detach(x), axis=1, keepdims=True)


def _product(ops: KernelOps, limits, e, table):
    """``[sum e, sum c e, ...]`` of each row, in place of its entries."""
    rows = ops.xp.stack(table)
    known = all(isinstance(n, int) for n in e.shape)
    if known and e.ndim == 2 and math.prod(e.shape) <= limits.tiny:
        return ops.xp.sum(ops.xp.expand_dims(e, axis=1) * ops.xp.expand_dims(rows, axis=0), axis=-1)
    if e.ndim == 2:
        return ops.compiler.contract(e, rows, axes=((1,), (1,)))
    return ops.compiler.matmul(ops.xp.broadcast_to(rows, (e.shape[0], *rows.shape)), e)


def _repaired(ops: KernelOps, limits, table, x, sums):
    """The sums where infinite scores decide: even over ``+inf``, and 0 if there is nothing but ``-inf``.

    Half of any finite score, less the largest finite number, is as good as ``-inf``. Maximum and minimum may pass
    over NaN, a sum does not. None of this is kept for each score.
    """
    xp, x = ops.xp, ops.detach(x)
    top = _top(ops, x)
    capped = xp.minimum(x * 0.5, float(xp.finfo(x.dtype).max))
    even = _product(ops, limits, xp.exp(capped - _top(ops, capped)), table)
    number = 0 * xp.sum(xp.exp(-xp.abs(x)), axis=1, keepdims=True)
    return xp.where(xp.abs(top) == math.inf, xp.where(top > 0, even, 0.0) + number, sums)


def _sums(ops: KernelOps, limits, table, x, temperature):
    """The largest score of each row, ``e = exp((x - max) / T)``, and its sums.

    A compiler merges the maximum, the exponentials and the product into one loop only if nothing is selected
    among them. So rows with infinities become NaN, which shows in the sums, and the few that do are repaired.
    """
    top, careful = _top(ops, x), not ops.compiler.merges(x, limits)
    e = ops.shifted_exp(x, temperature, top, careful=careful)
    sums = _product(ops, limits, e, table)
    if careful:
        return top, e, sums
    total = sums[:, :1, ...]
    repaired = partial(_repaired, ops, limits, table)
    return top, e, ops.compiler.branch(ops.xp.any(total != total), repaired, lambda x, sums: sums, x, sums)


def _masked(ops: KernelOps, limits, table, x, temperature, mask):
    """Return the largest kept score of each row, ``e = exp((x - max) / T)`` of the kept scores, 0 elsewhere, and its sums."""
    z, keep = scaled(ops, x, temperature, mask, (1,))
    e = ops.xp.where(keep, ops.xp.exp(z), 0.0)
    return kept_and_reference(ops, x, mask, (1,))[1], e, _product(ops, limits, e, table)


def _top_and_sums(ops: KernelOps, x, temperature, table, *, limits):
    """Return the largest score of each row and the sums of ``exp((x - max) / T)`` in one array.

    Along an inner axis that is done in pieces, each of which stays in the cache.
    """

    def both(x, temperature):
        top, _, sums = _sums(ops, limits, table, x, temperature)
        return ops.xp.concat([top, sums], axis=1)

    return both(x, temperature) if x.ndim == 2 else ops.compiler.in_pieces(limits, both, x, temperature)


def _top_and_sums_jvp(slope):
    """Not in pieces: whatever differentiates a loop may pass over the rules inside it."""

    def jvp(ops: KernelOps, t, y, x, temperature, table, *, limits):
        top = ops.detach(y[:, :1, ...])
        e = live(ops, ops.shifted_exp(x, temperature, top, careful=True), top)
        moved = _product(ops, limits, slope(ops, t, e, x, temperature, top), table)
        return ops.xp.concat([ops.xp.zeros_like(top), moved], axis=1)

    return jvp


TOP_AND_SUMS = Rule(
    "top_and_sums",
    _top_and_sums,
    (),
    tuple(_top_and_sums_jvp(slope) for slope in (slope_x, slope_temperature)),
    _top_and_sums,
)


def _mean(ops: KernelOps, sums):
    """The expected positions, 0 where there are none, the sum of each row, and whether that is 0."""
    total = sums[:, :1, ...]
    empty = ops.detach(total) == 0
    total = ops.xp.where(empty, 1.0, total)
    return sums[:, 1:, ...] / total, total, empty


def _arguments(ops: KernelOps, x, temperature, mask, positions, axes):
    shape = tuple(x.shape)
    mask = mask if mask is None else ops.xp.broadcast_to(mask, shape)
    merged = [_merged(ops, array, shape, axes) for array in (x, temperature, mask)]
    return *merged, _table(ops, shape, positions, axes)


def _restored(ops: KernelOps, y, shape, axes):
    """Answers last, and the other axes as they were."""
    y = y if y.ndim == 2 else ops.xp.moveaxis(y, 1, -1)
    others = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    return ops.xp.reshape(y, (*others, y.shape[-1]))


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last."""
    shape = tuple(x.shape)
    x, temperature, mask, table = _arguments(ops, x, temperature, mask, positions, axes)
    if mask is not None:
        sums = _masked(ops, limits, table, x, temperature, mask)[2]
    elif x.ndim == 2:
        sums = _sums(ops, limits, table, x, temperature)[2]
    else:
        sums = ops.top_and_sums(x, temperature, tuple(table), limits=limits)[:, 1:, ...]
    y, _, empty = _mean(ops, sums)
    return _restored(ops, ops.xp.where(empty, float("nan"), y), shape, axes)


def _factors(ops: KernelOps, limits, table, x, temperature, mask, again):
    """``e`` as the factor of a derivative, the expected positions, and the sum of each row."""
    if mask is not None:
        top, e, sums = _masked(ops, limits, table, x, temperature, mask)
        return live(ops, e, top), *_mean(ops, sums)[:2]
    careful = not ops.compiler.merges(x, limits)
    if again:
        made = ops.top_and_sums(x, temperature, tuple(table), limits=limits)
        rows = (ops.detach(made[:, :1, ...]), *_mean(ops, made[:, 1:, ...])[:2])
        top, y, total = (ops.compiler.apart(row) for row in rows)
        e = ops.shifted_exp(x, temperature, top, careful=careful)
    else:
        top, e, sums = _sums(ops, limits, table, x, temperature)
        y, total, _ = _mean(ops, sums)
    return live(ops, e, top) if careful else e, y, total


def _tangent(ops: KernelOps, t, y, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    """``sum_i p_i (c_i - y) t_i / T``: its transpose broadcasts, where that of a contraction would multiply out."""
    xp, shape = ops.xp, tuple(x.shape)
    x, temperature, mask, table = _arguments(ops, x, temperature, mask, positions, axes)
    # e is made again rather than kept where it was made in pieces, and where the scores were reshaped: then a
    # compiler gives what it keeps a buffer of its own.
    e, y, total = _factors(ops, limits, table, x, temperature, mask, again=x.ndim == 3 or shape != x.shape)
    # Nothing moves where e is 0, nor where it is NaN, unless its row is.
    number = 1 + 0 * ops.detach(y[:, :1, ...])
    moves, half = ops.detach(e) > 0, square_root(ops, temperature)
    t = xp.where(moves, _merged(ops, t, shape, axes) * number, 0.0) * divided(xp.where(moves, e, 0.0), half)
    moved = []
    for k in range(len(positions)):
        c = xp.reshape(table[k + 1], (1, -1) + (1,) * (x.ndim - 2))
        moved.append(xp.sum((c - y[:, k : k + 1, ...]) * t, axis=1, keepdims=True))
    moved = xp.concat(moved, axis=1) / total
    return _restored(ops, divided(moved, half), shape, axes)


CONTRACTION = Kernel(
    "contraction",
    Limits(),
    traced={"expectation": Traced(_fits, forward=_expectation, jvp=_tangent)},
    needs=("compiler",),
)
