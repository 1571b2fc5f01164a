"""The expectation under softmax as one contraction, for frameworks whose compiler handles that best.

``sum e`` and ``sum c e`` of a row are the product of ``e = exp(z - max z)`` with a table ``[1, c]``. A compiler may
compute a sum again inside each use of it, for every entry of the row; a product it computes once.
"""

import math
from functools import partial
from typing import NamedTuple

from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array, Rule
from ..kernel import Kernel, KernelOps, Traced
from .shifted_exp import live, slope_temperature, slope_x
from .sums import Form, expectation, largest, summed, tangent, tangent_temperature, top_and_sums


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


def _laid(ops: KernelOps, c, shape, axes):
    """The positions of the entries along the merged axes."""
    xp, sizes = ops.xp, tuple(shape[axis] for axis in axes)
    c = xp.reshape(c, tuple(c.shape[axis] for axis in axes))
    inner = () if axes[-1] == len(shape) - 1 else (1,)
    return xp.reshape(xp.broadcast_to(c, sizes), (1, math.prod(sizes), *inner))


def _product(ops: KernelOps, limits, e, positions):
    """``[sum e, sum c e, ...]`` of each row, in place of its entries."""
    table = [ops.xp.reshape(c, (-1,)) for c in positions]
    rows = ops.xp.stack([ops.xp.ones_like(table[0]), *table])
    known = all(isinstance(n, int) for n in e.shape)
    if known and e.ndim == 2 and math.prod(e.shape) <= limits.tiny:
        return ops.xp.sum(ops.xp.expand_dims(e, axis=1) * ops.xp.expand_dims(rows, axis=0), axis=-1)
    if e.ndim == 2:
        return ops.compiler.contract(e, rows, axes=((1,), (1,)))
    return ops.compiler.matmul(ops.xp.broadcast_to(rows, (e.shape[0], *rows.shape)), e)


def _repaired(ops: KernelOps, limits, positions, x, sums):
    """The sums where infinite scores decide: even over ``+inf``, and 0 if there is nothing but ``-inf``.

    Half of any finite score, less the largest finite number, is as good as ``-inf``. Maximum and minimum may pass
    over NaN, a sum does not. None of this is kept for each score.
    """
    xp, x = ops.xp, ops.detach(x)
    top = largest(ops, x, (1,))
    capped = xp.minimum(x * 0.5, float(xp.finfo(x.dtype).max))
    even = _product(ops, limits, xp.exp(capped - largest(ops, capped, (1,))), positions)
    number = 0 * xp.sum(xp.exp(-xp.abs(x)), axis=1, keepdims=True)
    return xp.where(xp.abs(top) == math.inf, xp.where(top > 0, even, 0.0) + number, sums)


def _sums(ops: KernelOps, limits, positions, x, temperature):
    """The largest score of each row, and the sums of ``exp((x - max) / T)``.

    A compiler merges the maximum, the exponentials and the product into one loop only if nothing is selected
    among them. So rows with infinities become NaN, which shows in the sums, and the few that do are repaired.
    """
    top, careful = largest(ops, x, (1,)), not ops.compiler.merges(x, limits)
    e = ops.shifted_exp(x, temperature, top, careful=careful)
    sums = _product(ops, limits, e, positions)
    if careful:
        return top, sums
    total = sums[:, :1, ...]
    repaired = partial(_repaired, ops, limits, positions)
    return top, ops.compiler.branch(ops.xp.any(total != total), repaired, lambda x, sums: sums, x, sums)


def _split(ops: KernelOps, x, sizes):
    """An array with the axes that were merged apart again."""
    if getattr(x, "ndim", 0) == 0:
        return x
    return ops.xp.reshape(x, (x.shape[0], *(sizes if x.shape[1] != 1 else (1,) * len(sizes)), *x.shape[2:]))


def _top_and_sums(ops: KernelOps, x, temperature, positions, *, axes, limits, sizes):
    """Return the largest score of each row and the sums of ``exp((x - max) / T)`` in one array: by products on a CPU.

    Along an inner axis that is done in pieces, each of which stays in the cache.
    """

    def multiplied(x, temperature):
        return ops.xp.concat(_sums(ops, limits, positions, x, temperature), axis=1)

    def by_products():
        return multiplied(x, temperature) if x.ndim == 2 else ops.compiler.in_pieces(limits, multiplied, x, temperature)

    def by_sums():
        if len(sizes) < 2:
            return top_and_sums(ops, x, temperature, positions, axes)
        # XLA keeps what it sums over merged axes in memory.
        z, divisor, *along = (_split(ops, array, sizes) for array in (x, temperature, *positions))
        made = top_and_sums(ops, z, divisor, along, tuple(range(1, 1 + len(sizes))))
        return ops.xp.reshape(made, (x.shape[0], 2 + len(positions), *x.shape[2:]))

    return by_sums() if limits is None else ops.compiler.on_platform(cpu=by_products, default=by_sums)


def _top_and_sums_jvp(slope):
    """Not in pieces: whatever differentiates a loop may pass over the rules inside it."""

    def jvp(ops: KernelOps, t, y, x, temperature, positions, *, axes, limits, sizes):
        top = ops.detach(y[(*(slice(None),) * axes[0], slice(1), ...)])
        e = live(ops, ops.shifted_exp(x, temperature, top, careful=True), top)
        e = slope(ops, t, e, x, temperature, top)

        def by_sums():
            return summed(ops, e, positions, axes)

        by_products = partial(_product, ops, limits, e, positions)
        moved = by_sums() if limits is None else ops.compiler.on_platform(cpu=by_products, default=by_sums)
        return ops.xp.concat([ops.xp.zeros_like(top), moved], axis=axes[0])

    return jvp


TOP_AND_SUMS = Rule(
    "top_and_sums",
    _top_and_sums,
    (),
    tuple(_top_and_sums_jvp(slope) for slope in (slope_x, slope_temperature)),
    _top_and_sums,
)


def _with_merged_axes(f):
    """A function of a tangent, if it takes one, and of what goes into an expectation, with the axes as one."""

    def merging(ops: KernelOps, *args, axes, relaxation, limits) -> Array:
        *t, x, temperature, _, mask, positions = args
        shape = tuple(x.shape)
        mask = mask if mask is None else ops.xp.broadcast_to(mask, shape)
        *arrays, z, temperature, mask = (_merged(ops, array, shape, axes) for array in (*t, x, temperature, mask))
        positions = tuple(_laid(ops, c, shape, axes) for c in positions)
        # e is made again rather than kept where it was made in pieces, and where the scores were reshaped: then a
        # compiler gives what it keeps a buffer of its own.
        sizes = tuple(shape[axis] for axis in axes)
        form = Form((1,), limits, sizes, apart=z.ndim == 3 or shape != z.shape)
        y = f(ops, *arrays, z, temperature, mask, positions, form)
        return ops.xp.reshape(y, (*(n for axis, n in enumerate(shape) if axis not in axes), len(positions)))

    return merging


def _without_answer(f):
    return lambda ops, t, y, *args, **static: f(ops, t, *args, **static)


CONTRACTION = Kernel(
    "contraction",
    Limits(),
    traced={
        "expectation": Traced(
            _fits,
            forward=_with_merged_axes(expectation),
            jvp=_without_answer(_with_merged_axes(tangent)),
            jvp_temperature=_without_answer(_with_merged_axes(tangent_temperature)),
        )
    },
    needs=("compiler",),
)
