"""The expectation under softmax from sums of exponentials, and its derivatives.

XLA for accelerators makes one kernel of the maximum, the exponentials and the sums of a row, as long as nothing is done to
the maximum but to subtract it. So each score is selected on its own, and rows are looked at only after the sums.
"""

import math
from typing import Any, NamedTuple

from ..._rules.rule import Array
from ..._rules.scores import divided, square_root
from ..kernel import KernelOps
from .shifted_exp import live


def kept(ops: KernelOps, x: Array, mask: Array | None) -> Array:
    """The scores, ``-inf`` where the mask does not keep them."""
    return x if mask is None else ops.xp.where(mask, x, -math.inf)


def largest(ops: KernelOps, x: Array, axes: tuple[int, ...]) -> Array:
    """The largest score of each row, axes kept: by a reduction, which a compiler may merge with what follows."""
    reduce = ops.xp.max if math.prod(x.shape) != 0 else ops.xp.sum
    return reduce(ops.detach(x), axis=axes, keepdims=True)


def distances(ops: KernelOps, x: Array, temperature, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the largest score of each row, and ``(x - top) / T``: 0 at ``+inf``, ``-inf`` at ``-inf``."""
    xp, top = ops.xp, largest(ops, x, axes)
    z = xp.where(xp.abs(x) == math.inf, xp.minimum(x, 0.0), x - top)
    # Not divided: a temperature may be infinite, or so large that a compiler takes its reciprocal for 0.
    return top, z if temperature is None else xp.where(z == -math.inf, z, z / temperature)


def summed(ops: KernelOps, e: Array, positions, axes: tuple[int, ...]) -> Array:
    """``sum e`` of each row, and ``sum c e`` for each of the positions, behind each other along the first of the axes."""
    each = ops.totals(axes, e, *[e * c for c in positions])
    return ops.xp.concat([*each], axis=axes[0])


def top_and_sums(ops: KernelOps, x: Array, temperature, positions, axes: tuple[int, ...]) -> Array:
    """Return the largest score of each row and the sums of ``exp((x - top) / T)``, likewise."""
    top, z = distances(ops, x, temperature, axes)
    return ops.xp.concat([top, summed(ops, ops.xp.exp(z), positions, axes)], axis=axes[0])


class Form(NamedTuple):
    """How an expectation is computed: by products on a CPU, with their limits, or by sums alone.

    Products take axes that have been merged into one, whose lengths were `sizes`. `apart`: whether the compiler of a CPU is
    to keep a derivative apart from the sums.
    """

    axes: tuple[int, ...]
    limits: Any = None
    sizes: tuple[int, ...] = ()
    apart: bool = False


def _part(array: Array, axes: tuple[int, ...], start: int, stop: int | None) -> Array:
    return array[(*(slice(None),) * axes[0], slice(start, stop), ...)]


def parts(made: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Take apart what `top_and_sums` returns: the largest scores, the sums of exponentials, and those with positions."""
    return _part(made, axes, 0, 1), _part(made, axes, 1, 2), _part(made, axes, 2, None)


def _means(ops: KernelOps, x, temperature, positions, form: Form):
    """Of each row: the largest score, the expected positions (0 if there are none), the sum, and whether that is 0."""
    static = {"axes": form.axes, "limits": form.limits, "sizes": form.sizes}
    made = ops.top_and_sums(x, temperature, positions, **static)
    top, total, moments = parts(made, form.axes)
    empty = ops.detach(total) == 0
    total = ops.xp.where(empty, 1.0, total)
    return ops.detach(top), moments / total, total, empty


def answers(ops: KernelOps, y, shape, axes) -> Array:
    """The answers, which are behind each other along the first of the axes, stacked last."""
    others = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    y = y if axes[0] == len(shape) - 1 else ops.xp.moveaxis(y, axes[0], -1)
    return ops.xp.reshape(y, (*others, y.shape[-1]))


def expectation(ops: KernelOps, x, temperature, mask, positions, form: Form) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last."""
    x = kept(ops, x, mask)
    _, y, _, empty = _means(ops, x, temperature, positions, form)
    return answers(ops, ops.xp.where(empty, float("nan"), y), x.shape, form.axes)


class Factors(NamedTuple):
    """What a derivative is made of."""

    x: Array
    top: Array
    y: Array
    total: Array
    e: Array  # 0 where nothing moves
    moves: Array  # which entries do


def factors(ops: KernelOps, x, temperature, mask, positions, form: Form) -> Factors:
    x = kept(ops, x, mask)
    *rows, _ = _means(ops, x, temperature, positions, form)
    top, y, total = ops.compiler.apart(*rows) if form.apart else rows
    xp, value = ops.xp, ops.detach(x)
    broken = ops.detach(total) != ops.detach(total)

    def moving():
        """NaN, which e is in rows that an infinite score decides, moves nothing but in the row of a NaN."""
        e = ops.shifted_exp(x, temperature, top, careful=False)
        moves = (ops.detach(e) > 0) | (broken & (value != -math.inf))
        return xp.where(moves, e, 0.0), moves

    def moving_on_cpu():
        """Which exponentials move something. All of the row of a NaN do: to read the scores for it takes half as long again."""
        careful = not ops.compiler.merges(x, form.limits)
        e = ops.shifted_exp(x, temperature, top, careful=careful)
        moves = (ops.detach(e) > 0) | broken
        return xp.where(moves, live(ops, e, top) if careful else e, 0.0), moves

    made = moving() if form.limits is None else ops.compiler.on_platform(cpu=moving_on_cpu, default=moving)
    return Factors(x, top, y, total, *made)


def _moved(ops: KernelOps, f: Factors, t, temperature, positions, form: Form) -> Array:
    """``sum_i p_i (c_i - y) t_i / T`` of tangents that are 0 where nothing moves.

    The transpose of this broadcasts, where that of a contraction would multiply out.
    """
    xp, half = ops.xp, square_root(ops, temperature)
    e, one, moved = divided(f.e, half), len(positions) == 1, []
    t = t if one else t * e
    for k, c in enumerate(positions):
        slope = c - _part(f.y, form.axes, k, k + 1)
        moved.append(xp.sum((slope * e if one else slope) * t, axis=form.axes, keepdims=True))
    moved = divided(xp.concat(moved, axis=form.axes[0]) / f.total, half)
    return answers(ops, moved, f.x.shape, form.axes)


def tangent(ops: KernelOps, t, x, temperature, mask, positions, form: Form) -> Array:
    """What a tangent of the scores does to the answers."""
    f = factors(ops, x, temperature, mask, positions, form)
    t = t if mask is None else ops.xp.where(mask, t, 0.0)
    return _moved(ops, f, ops.xp.where(f.moves, t, 0.0), temperature, positions, form)


def tangent_temperature(ops: KernelOps, t, x, temperature, mask, positions, form: Form) -> Array:
    """What a tangent of the temperature does to the answers: that of ``-z t`` with ``z = (x - top) / T``."""
    f = factors(ops, x, temperature, mask, positions, form)
    z = ops.xp.where(f.moves, f.x - f.top, 0.0) / temperature
    return _moved(ops, f, -z * t, temperature, positions, form)
